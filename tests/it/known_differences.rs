//! Known deviations from the conformance tests: of another broker, with the reason for testing it nevertheless; of
//! Leveret, what is not implemented. A listed test must fail, so that the list cannot become outdated.

/// A test that the named broker fails.
pub(crate) struct Difference {
    /// The test, as `module::name` below `conformance`.
    pub(crate) test: &'static str,
    /// Prefix of its product and version.
    pub(crate) broker: &'static str,
    /// Its actual behaviour, and why Leveret differs.
    pub(crate) reason: &'static str,
}

/// `RabbitMQ` as packaged by Debian 12 (3.10), with its plugins for consistent-hash, random and recent-history
/// exchanges and for federation.
/// The contract follows its main branch, which is four years newer.
const RABBITMQ_3: &str = "RabbitMQ 3.";

/// The list.
pub(crate) const DIFFERENCES: &[Difference] = &[
    on_rabbitmq_3(
        "channels::a_second_answer_to_a_close_harms_nobody",
        "closes the connection with 504; a client that answers twice is in order again at once",
    ),
    on_rabbitmq_3(
        "channels::a_number_is_free_when_the_clients_close_was_answered",
        "closes the connection with 504 until its own close is answered, too",
    ),
    on_rabbitmq_3(
        "channels::closes_of_a_connection_that_cross_are_both_answered",
        "closes the socket without an answer to the client's close",
    ),
    on_rabbitmq_3(
        "consumers::a_client_may_answer_that_it_knows",
        "closes the connection with 503; the method is legal, and answering it harms nobody",
    ),
    on_rabbitmq_3(
        "exchanges::unknown_exchange_type",
        "closes the connection with 503; its main branch closes the channel with 406, which spares the other channels",
    ),
    on_rabbitmq_3(
        "extensions::consumer_timeout::a_consumer_that_acknowledges_in_time_goes_on",
        "has no timeout of a consumer's own, and looks once a minute",
    ),
    on_rabbitmq_3(
        "extensions::consumer_timeout::a_delivery_of_the_queue_that_is_out_too_long_closes_its_channel_and_comes_back",
        "has no timeout of a queue's own, and looks once a minute",
    ),
    on_rabbitmq_3(
        "extensions::consumer_timeout::the_argument_must_be_a_positive_number",
        "has no timeout of a consumer's own",
    ),
    on_rabbitmq_3(
        "extensions::dead_letter::the_last_death_is_in_the_headers_too",
        "has no x-last-death headers yet",
    ),
    on_rabbitmq_3(
        "extensions::dead_letter::x_death_of_a_publisher_is_not_history",
        "goes on counting from a publisher's x-death; its main branch does not",
    ),
    on_rabbitmq_3(
        "extensions::deduplication::a_queue_takes_each_id_once",
        "has deduplication in a third party's plugin only",
    ),
    on_rabbitmq_3(
        "extensions::deduplication::an_exchange_takes_each_id_once",
        "has deduplication in a third party's plugin only",
    ),
    on_rabbitmq_3(
        "extensions::delayed::a_message_arrives_when_its_delay_is_over_with_the_delay_negated",
        "has delayed messages in a plugin only",
    ),
    on_rabbitmq_3(
        "extensions::delayed::confirmed_when_stored_and_not_returned",
        "has delayed messages in a plugin only, which returns mandatory ones at once",
    ),
    on_rabbitmq_3("extensions::delayed::the_inner_type_must_exist", "has delayed messages in a plugin only"),
    on_rabbitmq_3(
        "extensions::delivery_limit::a_classic_queue_counts_deliveries_and_gives_up",
        "has delivery limits on quorum queues only",
    ),
    on_rabbitmq_3(
        "extensions::delivery_limit::streams_are_refused_in_words",
        "has streams; we refuse them clearly for now",
    ),
    on_rabbitmq_3(
        "extensions::hashing::modulus_hash_spreads_by_routing_key",
        "has this exchange in a plugin that Debian does not enable",
    ),
    on_rabbitmq_3(
        "extensions::reply_to::a_reply_comes_straight_back",
        "returns a mandatory reply as unroutable; its main branch counts it as routed",
    ),
    on_rabbitmq_3(
        "extensions::transactions::a_direct_reply_comes_with_the_commit",
        "sends direct replies at publish, rolled back or not; its main branch routes them as to a queue",
    ),
    on_rabbitmq_3(
        "extensions::transactions::a_delay_begins_with_the_commit",
        "has delayed messages in a plugin only, which knows no transactions",
    ),
    on_rabbitmq_3(
        "extensions::transactions::a_delayed_exchange_that_is_gone_at_the_commit_delays_nothing",
        "has delayed messages in a plugin only",
    ),
    on_rabbitmq_3(
        "extensions::transactions::an_id_counts_from_the_commit_and_is_forgotten_by_a_rollback",
        "has deduplication in a third party's plugin only",
    ),
    on_rabbitmq_3("frames::body_longer_than_declared", "waits for more; its main branch closes with 501"),
    on_rabbitmq_3(
        "frames::declared_size_over_512_mib",
        "waits for the body; its main branch closes with 501",
    ),
    on_rabbitmq_3("frames::unknown_class", "closes the socket without a word"),
    on_rabbitmq_3(
        "handshake::amqplain_is_accepted",
        "accepts it, but closes the socket without a word while the client is not authenticated; we say why",
    ),
    on_rabbitmq_3(
        "handshake::malformed_sasl_response",
        "closes the socket without a word while the client is not authenticated; we say why",
    ),
    on_rabbitmq_3(
        "handshake::tune_ok_outside_the_servers_limits",
        "closes the socket without a word while the client is not authenticated; we say why, as its main branch does",
    ),
    on_rabbitmq_3(
        "handshake::unknown_mechanism",
        "closes the socket without a word while the client is not authenticated; we say why",
    ),
    on_rabbitmq_3(
        "shared_prefetch::a_get_that_is_out_when_the_limit_is_set_uses_no_credit",
        "counts it and never takes it back, so that the channel's consumers wait for ever",
    ),
    on_rabbitmq_3(
        "shared_prefetch::a_single_active_consumer_that_leaves_hands_over_to_one_that_waited",
        "never serves the one that took over",
    ),
];

const fn on_rabbitmq_3(test: &'static str, reason: &'static str) -> Difference {
    Difference { test, broker: RABBITMQ_3, reason }
}
