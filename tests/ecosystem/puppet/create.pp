# What is made first. Titles are NAME@VHOST, as the module has it.
rabbitmq_vhost { 'shop': ensure => present }
rabbitmq_vhost { 'own/shop': ensure => present }

rabbitmq_user { 'joe': password => 'changeme', admin => true, tags => ['monitoring', 'own'] }
rabbitmq_user { 'ann': password => 'with space & $ign', tags => ['management'] }
rabbitmq_user { 'bob': password => 'secret' }
rabbitmq_user { 'guest': password => 'guest', admin => true }

rabbitmq_user_permissions { 'joe@shop':
  configure_permission => '.*',
  read_permission      => '.*',
  write_permission     => '.*',
}
rabbitmq_user_permissions { 'ann@shop':
  configure_permission => '^$',
  read_permission      => '^(a|b)\.[a-z]+$',
  write_permission     => '^amq\.gen.*',
}
rabbitmq_user_permissions { 'ann@own/shop': read_permission => '.*' }

rabbitmq_policy { 'limited@shop':
  pattern    => '^a\.orders$',
  applyto    => 'queues',
  priority   => 1,
  definition => { 'max-length' => '5', 'message-ttl' => '60000', 'overflow' => 'reject-publish' },
}
rabbitmq_policy { 'spare@shop': pattern => '.*', applyto => 'exchanges', definition => { 'alternate-exchange' => 'amq.fanout' } }
rabbitmq_policy { 'all@/': pattern => '^none', definition => { 'expires' => '3600000' } }

rabbitmq_parameter { 'limits@shop': component_name => 'vhost-limits', value => { 'max-connections' => '64', 'max-queues' => '256' } }

Rabbitmq_exchange { user => 'joe', password => 'changeme' }
Rabbitmq_queue    { user => 'joe', password => 'changeme' }
Rabbitmq_binding  { user => 'joe', password => 'changeme', require => [Rabbitmq_exchange['orders@shop', 'inner@shop', 'heads@shop'], Rabbitmq_queue['a.orders@shop', 'plain@shop']] }

rabbitmq_exchange { 'orders@shop': type => 'topic', durable => 'true' }
rabbitmq_exchange { 'inner@shop': type => 'fanout', internal => 'true', arguments => { 'alternate-exchange' => 'orders' } }
rabbitmq_exchange { 'heads@shop': type => 'headers', durable => 'true', auto_delete => 'false' }
rabbitmq_exchange { 'hashed@shop': type => 'x-consistent-hash', durable => 'true', arguments => { 'hash-header' => 'key' } }

rabbitmq_queue { 'a.orders@shop': arguments => { 'x-max-priority' => 5, 'x-message-ttl' => 60000, 'x-dead-letter-exchange' => 'orders' } }
rabbitmq_queue { 'plain@shop': durable => 'false', auto_delete => 'false' }
rabbitmq_queue { 'lazy@shop': arguments => { 'x-queue-mode' => 'lazy' } }

rabbitmq_binding { 'orders@a.orders@shop': destination_type => 'queue', routing_key => 'order.#' }
rabbitmq_binding { 'second': source => 'orders', destination => 'a.orders', vhost => 'shop', destination_type => 'queue', routing_key => 'late.*' }
rabbitmq_binding { 'orders@inner@shop': destination_type => 'exchange', routing_key => '#' }
rabbitmq_binding { 'heads@plain@shop': destination_type => 'queue', routing_key => 'k', arguments => { 'x-match' => 'all', 'kind' => 'big', 'size' => 5 } }

rabbitmq_plugin { ['rabbitmq_management', 'rabbitmq_prometheus', 'rabbitmq_consistent_hash_exchange']: ensure => present }
