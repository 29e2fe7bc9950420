# What applications on Bunny rely on: checks.rb [CHECK..]
require 'bunny'
require 'timeout'

$stdout.sync = true
LIMIT_S = 90

def wait_for(what)
  Timeout.timeout(LIMIT_S, RuntimeError, "still not: #{what}") { sleep 0.02 until yield }
end

def same(wanted, found)
  raise "wanted #{wanted.inspect}, but #{found.inspect}" unless wanted == found
end

def connected(**options)
  connection = Bunny.new(ENV.fetch('AMQP_URL'), log_level: :fatal, network_recovery_interval: 0.3, **options)
  connection.start
  yield connection
ensure
  connection&.close
end

CHECKS = {}

CHECKS['publishes-subscribes-and-confirms'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    channel.confirm_select
    topic = channel.topic('bunny.topic', durable: true)
    queue = channel.queue('bunny.q', durable: true).bind(topic, routing_key: 'a.#')
    seen = Queue.new
    queue.subscribe(manual_ack: true) { |delivery, properties, body| seen << [delivery.routing_key, properties.headers['n'], body]; channel.ack(delivery.delivery_tag) }
    100.times { |n| topic.publish("m#{n}", routing_key: n.even? ? 'a.b.c' : 'other', headers: { 'n' => n }, persistent: true) }
    raise 'not all confirmed' unless channel.wait_for_confirms
    wait_for('50 messages') { seen.size == 50 }
    same ['a.b.c', 0, 'm0'], seen.pop
    queue.delete
  end
end

CHECKS['prefetch-and-requeue'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    channel.prefetch(2)
    queue = channel.queue('bunny.prefetch', exclusive: true)
    5.times { |n| queue.publish("m#{n}") }
    held = Queue.new
    queue.subscribe(manual_ack: true) { |delivery, _, body| held << [delivery, body] }
    wait_for('two held') { held.size == 2 }
    wait_for('three ready') { queue.message_count == 3 }
    delivery, body = held.pop
    channel.nack(delivery.delivery_tag, false, true)
    wait_for('it came again') { held.size == 2 }
    held.pop
    again, same_body = held.pop
    same [body, true], [same_body, again.redelivered?]
  end
end

CHECKS['returns'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    exchange = channel.direct('bunny.returns', auto_delete: true)
    returned = Queue.new
    exchange.on_return { |basic, _, body| returned << [basic.reply_code, basic.routing_key, body] }
    exchange.publish('lost', routing_key: 'nowhere', mandatory: true)
    wait_for('returned') { returned.size == 1 }
    same [312, 'nowhere', 'lost'], returned.pop
  end
end

CHECKS['refusals-close-the-channel-alone'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    channel.queue('bunny.kind', durable: true)
    { Bunny::NotFound => -> (other) { other.queue('bunny.absent', passive: true) }, Bunny::PreconditionFailed => -> (other) { other.queue('bunny.kind', durable: false) },
      Bunny::AccessRefused => -> (other) { other.direct('amq.mine') } }.each do |kind, act|
      begin
        act.call(connection.create_channel)
        raise "not refused: #{kind}"
      rescue kind
        nil
      end
    end
    raise 'the connection was closed' unless connection.open?
    connected(recover_from_connection_close: false) do |other|
      tag_taken = other.create_channel
      tag_taken.queue('bunny.kind', durable: true).subscribe(consumer_tag: 'taken') {}
    end
    channel.queue_delete('bunny.kind')
  end
end

CHECKS['dead-letters-and-time-to-live'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    dead = channel.queue('bunny.dead', exclusive: true)
    first = channel.queue('bunny.first', exclusive: true, arguments: { 'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => dead.name, 'x-message-ttl' => 100, 'x-max-length' => 2 })
    3.times { |n| first.publish("m#{n}") }
    wait_for('three dead') { dead.message_count == 3 }
    reasons = 3.times.map { dead.pop[1].headers['x-death'][0]['reason'] }
    same %w[expired expired maxlen], reasons.sort
  end
end

CHECKS['requests-by-direct-reply-to'] = lambda do
  connected do |connection|
    server = connection.create_channel
    server.queue('bunny.rpc', exclusive: true).subscribe { |_, properties, body| server.default_exchange.publish(body.upcase, routing_key: properties.reply_to, correlation_id: properties.correlation_id) }
    client = connection.create_channel
    answers = Queue.new
    client.basic_consume('amq.rabbitmq.reply-to', '', true) { |_, properties, body| answers << [properties.correlation_id, body] }
    20.times { |n| client.default_exchange.publish("m#{n}", routing_key: 'bunny.rpc', reply_to: 'amq.rabbitmq.reply-to', correlation_id: n.to_s) }
    wait_for('20 answers') { answers.size == 20 }
    same ['0', 'M0'], answers.pop
  end
end

CHECKS['transactions'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    queue = channel.queue('bunny.tx', exclusive: true)
    channel.tx_select
    queue.publish('never')
    channel.tx_rollback
    queue.publish('once')
    same 0, queue.message_count
    channel.tx_commit
    same [1, 'once'], [queue.message_count, queue.pop[2]]
  end
end

CHECKS['cancelled-by-the-broker'] = lambda do
  connected do |connection|
    channel = connection.create_channel
    queue = channel.queue('bunny.doomed')
    cancelled = Queue.new
    queue.subscribe(on_cancellation: ->(*) { cancelled << true }) {}
    connection.create_channel.queue_delete('bunny.doomed')
    wait_for('told') { cancelled.size == 1 }
  end
end

CHECKS.each do |name, act|
  next unless ARGV.empty? || ARGV.include?(name)

  begin
    act.call
    puts "ok #{name}"
  rescue StandardError, Timeout::Error => e
    puts e.full_message(highlight: false)
    puts "FAIL #{name}: #{e.class}: #{e.message.lines.first}"
  end
end
