rabbitmq_user { ['joe', 'ann', 'bob']: ensure => absent }
rabbitmq_vhost { ['shop', 'own/shop']: ensure => absent }
rabbitmq_plugin { 'rabbitmq_prometheus': ensure => absent }
