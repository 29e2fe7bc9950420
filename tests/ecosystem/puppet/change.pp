# What is told otherwise than by create.pp: passwords, tags, permissions, policies, a parameter.
rabbitmq_user { 'joe': password => 'changed', admin => true, tags => ['own'] }
rabbitmq_user { 'ann': password => 'with space & $ign', admin => false, tags => ['policymaker', 'management'] }
rabbitmq_user { 'bob': password => 'secret', admin => true }

rabbitmq_user_permissions { 'joe@shop':
  configure_permission => '.*',
  read_permission      => '.*',
  write_permission     => '^(orders|a|inner)',
}
rabbitmq_user_permissions { 'ann@own/shop': read_permission => '^r', write_permission => '' }

rabbitmq_policy { 'limited@shop':
  pattern    => '^a\.',
  applyto    => 'all',
  priority   => 2,
  definition => { 'max-length' => '6' },
}
rabbitmq_parameter { 'limits@shop': component_name => 'vhost-limits', value => { 'max-connections' => '-1', 'max-queues' => '100' } }
rabbitmq_plugin { 'rabbitmq_shovel': ensure => absent }
