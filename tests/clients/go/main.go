// amqp091-go: the scenarios named on the command line, one line each: `ok NAME`, or `FAIL NAME: why`.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	url    = os.Getenv("AMQP_URL")
	prefix = fmt.Sprintf("go%d.", os.Getpid())
	number int
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func want(holds bool, what ...any) {
	if !holds {
		panic(fmt.Errorf("not as expected: %v", what))
	}
}

func name() string {
	number++
	return fmt.Sprintf("%s%d", prefix, number)
}

func code(err error) int {
	var refusal *amqp.Error
	want(errors.As(err, &refusal), "a refusal, not", err)
	return refusal.Code
}

func queue(ch *amqp.Channel, args amqp.Table) string {
	return must(ch.QueueDeclare(name(), false, false, true, false, args)).Name
}

func publish(ch *amqp.Channel, exchange, key, body string) {
	check(ch.PublishWithContext(context.Background(), exchange, key, false, false, amqp.Publishing{Body: []byte(body)}))
}

func soon[T any](from <-chan T) T {
	select {
	case value, open := <-from:
		want(open, "something before the end")
		return value
	case <-time.After(20 * time.Second):
		panic(errors.New("nothing came"))
	}
}

func take(ch *amqp.Channel, from string) amqp.Delivery {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if message, ok := must2(ch.Get(from, false)); ok {
			return message
		}
	}
	panic(errors.New("no message"))
}

func must2[A, B any](a A, b B, err error) (A, B) {
	check(err)
	return a, b
}

func wrongCredentials(*amqp.Connection, *amqp.Channel) {
	_, err := amqp.Dial(strings.Replace(url, "guest:guest@", "guest:wrong@", 1))
	want(code(err) == 403, err)
}

func declare(_ *amqp.Connection, ch *amqp.Channel) {
	q, x := queue(ch, amqp.Table{"x-max-length": int32(10)}), name()
	check(ch.ExchangeDeclare(x, "topic", false, true, false, false, nil))
	check(ch.QueueBind(q, "a.#", x, false, nil))
	publish(ch, x, "a.b", "hello")
	want(string(take(ch, q).Body) == "hello")
}

func confirms(_ *amqp.Connection, ch *amqp.Channel) {
	check(ch.Confirm(false))
	q := queue(ch, nil)
	var waiting []*amqp.DeferredConfirmation
	for range 1000 {
		waiting = append(waiting, must(ch.PublishWithDeferredConfirm("", q, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("x")})))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 180*time.Second)
	defer cancel()
	for _, confirm := range waiting {
		want(must(confirm.WaitContext(ctx)), "an ack")
	}
	want(must(ch.QueueDeclarePassive(q, false, false, true, false, nil)).Messages == 1000)
}

func mandatory(_ *amqp.Connection, ch *amqp.Channel) {
	back := ch.NotifyReturn(make(chan amqp.Return, 1))
	check(ch.PublishWithContext(context.Background(), "", name(), true, false, amqp.Publishing{Body: []byte("back")}))
	message := soon(back)
	want(message.ReplyCode == 312 && string(message.Body) == "back", message)
}

func prefetch(_ *amqp.Connection, ch *amqp.Channel) {
	q := queue(ch, nil)
	for n := range 10 {
		publish(ch, "", q, fmt.Sprint(n))
	}
	check(ch.Qos(3, 0, false))
	messages := must(ch.Consume(q, "", false, false, false, false, nil))
	for range 2 {
		soon(messages)
	}
	third := soon(messages)
	want(must(ch.QueueDeclarePassive(q, false, false, true, false, nil)).Messages == 7)
	check(third.Ack(true))
	for n := 3; n < 10; n++ {
		message := soon(messages)
		want(string(message.Body) == fmt.Sprint(n), n)
		check(message.Ack(false))
	}
}

func requeue(_ *amqp.Connection, ch *amqp.Channel) {
	q := queue(ch, nil)
	publish(ch, "", q, "x")
	check(take(ch, q).Nack(false, true))
	want(take(ch, q).Redelivered)
}

func deadLetter(_ *amqp.Connection, ch *amqp.Channel) {
	dead := queue(ch, nil)
	q := queue(ch, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	publish(ch, "", q, "x")
	check(take(ch, q).Reject(false))
	death := take(ch, dead).Headers["x-death"].([]any)[0].(amqp.Table)
	want(death["count"] == int64(1) && death["reason"] == "rejected" && death["queue"] == q, death)
}

func delayed(_ *amqp.Connection, ch *amqp.Channel) {
	q, x := queue(ch, nil), name()
	check(ch.ExchangeDeclare(x, "x-delayed-message", false, true, false, false, amqp.Table{"x-delayed-type": "direct"}))
	check(ch.QueueBind(q, "k", x, false, nil))
	start := time.Now()
	check(ch.PublishWithContext(context.Background(), x, "k", false, false,
		amqp.Publishing{Headers: amqp.Table{"x-delay": int32(500)}, Body: []byte("x")}))
	take(ch, q)
	want(time.Since(start) > 490*time.Millisecond, time.Since(start))
}

func replyTo(connection *amqp.Connection, ch *amqp.Channel) {
	q := queue(ch, nil)
	answers := must(ch.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil))
	check(ch.PublishWithContext(context.Background(), "", q, false, false,
		amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", Body: []byte("question")}))
	server := must(connection.Channel())
	publish(server, "", take(server, q).ReplyTo, "answer")
	want(string(soon(answers).Body) == "answer")
}

func bigBody(_ *amqp.Connection, ch *amqp.Channel) {
	check(ch.Confirm(false))
	q, body := queue(ch, nil), bytes.Repeat([]byte("leveret 0123456789.\n"), 1_000_000)
	confirm := must(ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{Body: body}))
	want(confirm.Wait(), "an ack")
	want(bytes.Equal(take(ch, q).Body, body), "the same body")
}

func serverClose(connection *amqp.Connection, ch *amqp.Channel) {
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	_, err := ch.QueueDeclarePassive(name(), false, false, false, false, nil)
	want(code(err) == 404, err)
	want(soon(closed).Code == 404)
	queue(must(connection.Channel()), nil)
}

// Closes of both sides that cross, and connections that are closed without an error: 300, each with a channel of
// notifications that nobody reads.
func closing(connection *amqp.Connection, _ *amqp.Channel) {
	for range 50 {
		ch := must(connection.Channel())
		want(ch.PublishWithContext(context.Background(), name(), "", false, false, amqp.Publishing{}) == nil)
		ch.Close()
	}
	queue(must(connection.Channel()), nil)
	for range 300 {
		closed := make(chan error, 1)
		dialled := must(amqp.Dial(url))
		dialled.NotifyClose(make(chan *amqp.Error))
		heard := dialled.NotifyClose(make(chan *amqp.Error, 1))
		go func() { closed <- dialled.Close() }()
		want(soon(closed) == nil, "close")
		want(<-heard == nil, "an error is reported for a clean close")
	}
}

func run(work func(*amqp.Connection, *amqp.Channel)) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%v", problem)
		}
	}()
	connection := must(amqp.Dial(url))
	defer connection.Close()
	work(connection, must(connection.Channel()))
	return nil
}

func main() {
	scenarios := map[string]func(*amqp.Connection, *amqp.Channel){
		"wrong-credentials": wrongCredentials, "declare": declare, "confirms": confirms, "mandatory": mandatory,
		"prefetch": prefetch, "requeue": requeue, "dead-letter": deadLetter, "delayed": delayed, "reply-to": replyTo,
		"big-body": bigBody, "server-close": serverClose, "closing": closing,
	}
	failed := 0
	for _, wanted := range os.Args[1:] {
		work, known := scenarios[wanted]
		if !known {
			fmt.Println("none", wanted)
		} else if err := run(work); err != nil {
			failed = 1
			fmt.Printf("FAIL %s: %s\n", wanted, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok", wanted)
		}
	}
	os.Exit(failed)
}
