// Publishes and consumes one message with amqp091-go.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		url = "amqp://guest:guest@127.0.0.1:5672"
	}
	connection, err := amqp.Dial(url + "/")
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	queue, err := channel.QueueDeclare("hello-go", true, false, false, false, nil)
	check(err)

	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("Hello, Leveret!")}
	confirm, err := channel.PublishWithDeferredConfirm("", queue.Name, false, false, message)
	check(err)
	_, err = confirm.WaitContext(context.Background())
	check(err)

	deliveries, err := channel.Consume(queue.Name, "", false, false, false, false, nil)
	check(err)
	delivery := <-deliveries
	fmt.Println(string(delivery.Body))
	check(delivery.Ack(false))
}
