Rabbitmq_exchange { ensure => absent, user => 'joe', password => 'changed' }
Rabbitmq_queue    { ensure => absent, user => 'joe', password => 'changed' }
rabbitmq_queue { ['a.orders@shop', 'plain@shop', 'lazy@shop']: }
rabbitmq_exchange { ['orders@shop', 'inner@shop', 'heads@shop', 'hashed@shop']: }
rabbitmq_policy { ['limited@shop', 'spare@shop', 'all@/']: ensure => absent }
rabbitmq_user_permissions { ['ann@shop', 'ann@own/shop']: ensure => absent }
