//! Routing: (exchange, routing key, headers) in, destinations out.
