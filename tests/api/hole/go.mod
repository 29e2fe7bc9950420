module leveret/hole

go 1.24

require github.com/michaelklishin/rabbit-hole/v3 v3.1.0
