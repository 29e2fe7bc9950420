# Bindings go first: the module makes each wait for the queue and the exchange that a manifest names beside it.
Rabbitmq_binding { ensure => absent, user => 'joe', password => 'changed' }
rabbitmq_binding { 'orders@a.orders@shop': destination_type => 'queue', routing_key => 'order.#' }
rabbitmq_binding { 'second': source => 'orders', destination => 'a.orders', vhost => 'shop', destination_type => 'queue', routing_key => 'late.*' }
rabbitmq_binding { 'orders@inner@shop': destination_type => 'exchange', routing_key => '#' }
