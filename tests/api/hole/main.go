// What the Terraform provider for RabbitMQ does with each of its resources, by the library that it uses: creates, reads
// back, changes, deletes, finds it gone. Each failure is a line; the last line tells how many steps there were.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"

	hole "github.com/michaelklishin/rabbit-hole/v3"
)

const vhost = "eu/shop"

var steps, failures int

func fail(step string, say ...any) {
	failures++
	fmt.Println("FAILED", step+":", fmt.Sprint(say...))
}

// A change that must be answered with this status.
func is(step string, want int) func(*http.Response, error) *http.Response {
	return func(response *http.Response, err error) *http.Response {
		steps++
		if err != nil {
			fail(step, err)
		} else if response.StatusCode != want {
			fail(step, response.Status)
		}
		return response
	}
}

// Something read, which must be so.
func same[T any](step string, got, want T) {
	steps++
	if !reflect.DeepEqual(got, want) {
		fail(step, fmt.Sprintf("%#v is not %#v", got, want))
	}
}

func read[T any](value T, err error) T {
	steps++
	if err != nil {
		fail(fmt.Sprintf("reading a %T", value), err)
	}
	return value
}

// A reading that finds nothing: the provider forgets the resource on 404, and gives up on all else.
func gone(step string, err error) {
	refused(step, err, 404, "")
}

func refused(step string, err error, status int, words string) {
	steps++
	var answer hole.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode != status || !strings.Contains(answer.Reason, words) {
		fail(step, fmt.Sprintf("%#v", err))
	}
}

func vhosts(c *hole.Client) {
	settings := hole.VhostSettings{Description: "one", DefaultQueueType: "quorum"}
	is("create a vhost", 201)(c.PutVhost(vhost, settings))
	same("limits of a new vhost", len(read(c.GetVhostLimits(vhost))), 0)
	is("limit it", 204)(c.PutVhostLimits(vhost, hole.VhostLimitsValues{"max-queues": 50, "max-connections": 60}))
	there := read(c.GetVhost(vhost))
	same("its name", there.Name, vhost)
	same("its description", there.Description, "one")
	same("its queue type", there.DefaultQueueType, "quorum")
	same("its tracing", there.Tracing, false)
	same("its limits", read(c.GetVhostLimits(vhost))[0].Value, hole.VhostLimitsValues{"max-queues": 50, "max-connections": 60})
	is("change it", 204)(c.PutVhost(vhost, hole.VhostSettings{Description: "two", DefaultQueueType: "classic"}))
	same("its new description", read(c.GetVhost(vhost)).Description, "two")
	is("lift its limits", 204)(c.DeleteVhostLimits(vhost, hole.VhostLimits{"max-connections", "max-queues"}))
	same("its limits then", len(read(c.GetVhostLimits(vhost))), 0)
}

func users(c *hole.Client) {
	is("create a user", 201)(c.PutUser("u", hole.UserSettings{Password: "pw", Tags: hole.UserTags{"management", "own"}}))
	same("its tags", read(c.GetUser("u")).Tags, hole.UserTags{"management", "own"})
	is("change it", 204)(c.PutUser("u", hole.UserSettings{Password: "other", Tags: hole.UserTags{"monitoring"}}))
	same("its new tags", read(c.GetUser("u")).Tags, hole.UserTags{"monitoring"})
	hash := hole.Base64EncodedSaltedPasswordHashSHA256("hashed")
	is("by a hash", 201)(c.PutUser("h", hole.UserSettings{
		PasswordHash: hash, HashingAlgorithm: hole.HashingAlgorithmSHA256, Tags: hole.UserTags{"management"},
	}))
	other, _ := hole.NewClient(c.Endpoint, "h", "hashed")
	same("who that is", read(other.Whoami()).Name, "h")
	is("without a password", 201)(c.PutUserWithoutPassword("n", hole.UserSettings{Tags: hole.UserTags{}}))
	for _, name := range []string{"h", "n"} {
		is("delete "+name, 204)(c.DeleteUser(name))
		_, err := c.GetUser(name)
		gone("read "+name, err)
	}
}

func permissions(c *hole.Client) {
	_, err := c.GetPermissionsIn(vhost, "u")
	gone("no permissions", err)
	is("permit", 201)(c.UpdatePermissionsIn(vhost, "u", hole.Permissions{Configure: "^a", Write: "", Read: ".*"}))
	want := hole.PermissionInfo{User: "u", Vhost: vhost, Configure: "^a", Write: "", Read: ".*"}
	same("what is permitted", read(c.GetPermissionsIn(vhost, "u")), want)
	is("permit other things", 204)(c.UpdatePermissionsIn(vhost, "u", hole.Permissions{Configure: "", Write: ".*", Read: ""}))
	same("what is then", read(c.GetPermissionsIn(vhost, "u")).Write, ".*")
	_, err = c.GetTopicPermissionsIn(vhost, "u")
	gone("no topic permissions", err)
	is("permit topics", 201)(c.UpdateTopicPermissionsIn(vhost, "u", hole.TopicPermissions{Exchange: "amq.topic", Write: "^w", Read: "^r"}))
	is("permit more", 204)(c.UpdateTopicPermissionsIn(vhost, "u", hole.TopicPermissions{Exchange: "other", Write: "", Read: ""}))
	same("how many topics", len(read(c.GetTopicPermissionsIn(vhost, "u"))), 2)
	is("forbid one", 204)(c.DeleteTopicPermissionsIn(vhost, "u", "other"))
	same("which stays", read(c.GetTopicPermissionsIn(vhost, "u"))[0].Exchange, "amq.topic")
	is("forbid topics", 204)(c.ClearTopicPermissionsIn(vhost, "u"))
	_, err = c.GetTopicPermissionsIn(vhost, "u")
	gone("topics are forbidden", err)
	is("forbid", 204)(c.ClearPermissionsIn(vhost, "u"))
	_, err = c.GetPermissionsIn(vhost, "u")
	gone("all is forbidden", err)
	is("forbid again", 404)(c.ClearPermissionsIn(vhost, "u"))
}

// Numbers come out of JSON as float64.
var arguments = map[string]any{"x-queue-type": "classic", "x-message-ttl": 5000.0, "x-single-active-consumer": true}

func entities(c *hole.Client) {
	settings := hole.ExchangeSettings{Type: "topic", Durable: true, Arguments: map[string]any{"alternate-exchange": "amq.fanout"}}
	is("declare an exchange", 201)(c.DeclareExchange(vhost, "x y", settings))
	exchange := read(c.GetExchange(vhost, "x y"))
	same("its type", exchange.Type, "topic")
	same("its arguments", exchange.Arguments, settings.Arguments)
	is("declare a queue", 201)(c.DeclareQueue(vhost, "q/1", hole.QueueSettings{Durable: true, Arguments: arguments}))
	queue := read(c.GetQueue(vhost, "q/1"))
	same("its durability", queue.Durable, true)
	same("its arguments", queue.Arguments, arguments)
	_, err := c.DeclareQueue(vhost, "q/1", hole.QueueSettings{Durable: true})
	refused("declare it differently", err, 400, "inequivalent arg")
	for _, binding := range []hole.BindingInfo{
		{RoutingKey: "", Destination: "q/1", DestinationType: "queue"},
		{RoutingKey: "a.*/# ~", Destination: "q/1", DestinationType: "queue"},
		{RoutingKey: "k", Destination: "q/1", DestinationType: "queue", Arguments: map[string]any{"n": 1.0, "s": "t"}},
		{RoutingKey: "e", Destination: "amq.fanout", DestinationType: "exchange"},
	} {
		binding.Source = "x y"
		bindings(c, binding)
	}
	is("delete the queue", 204)(c.DeleteQueue(vhost, "q/1", hole.QueueDeleteOptions{IfEmpty: true, IfUnused: true}))
	_, err = c.GetQueue(vhost, "q/1")
	gone("read the queue", err)
	is("delete the exchange", 204)(c.DeleteExchange(vhost, "x y"))
	_, err = c.GetExchange(vhost, "x y")
	gone("read the exchange", err)
}

// The key is the last part of `Location`, unquoted once; the binding is then looked for in a list by it.
func bindings(c *hole.Client, binding hole.BindingInfo) {
	name := "bind by " + binding.RoutingKey
	made := is(name, 201)(c.DeclareBinding(vhost, binding))
	parts := strings.Split(made.Header.Get("Location"), "/")
	same(name+": parts of the place", len(parts), 2)
	key, err := url.PathUnescape(parts[len(parts)-1])
	if err != nil {
		fail(name, err)
	}
	list := func() []hole.BindingInfo {
		if binding.DestinationType == "queue" {
			return read(c.ListQueueBindingsBetween(vhost, binding.Source, binding.Destination))
		}
		return read(c.ListExchangeBindingsBetween(vhost, binding.Source, binding.Destination))
	}
	found := 0
	for _, one := range list() {
		if one.PropertiesKey == key {
			found++
			same(name+": key", one.RoutingKey, binding.RoutingKey)
			same(name+": arguments", len(one.Arguments), len(binding.Arguments))
		}
	}
	same(name+": found", found, 1)
	binding.PropertiesKey = key
	is("un"+name, 204)(c.DeleteBinding(vhost, binding))
	same(name+": left", len(list()), 0)
	is("un"+name+" again", 404)(c.DeleteBinding(vhost, binding))
}

func policies(c *hole.Client) {
	one := hole.PolicyDefinition{"max-length": 5.0, "dead-letter-exchange": "x"}
	two := hole.PolicyDefinition{"message-ttl": 6000.0}
	is("put a policy", 201)(c.PutPolicy(vhost, "p", hole.Policy{Pattern: "^q", ApplyTo: "queues", Priority: 3, Definition: one}))
	same("the policy", *read(c.GetPolicy(vhost, "p")),
		hole.Policy{Vhost: vhost, Name: "p", Pattern: "^q", ApplyTo: "queues", Priority: 3, Definition: one})
	is("change it", 204)(c.PutPolicy(vhost, "p", hole.Policy{Pattern: "^r", ApplyTo: "all", Definition: two}))
	same("the changed policy", read(c.GetPolicy(vhost, "p")).Definition, two)
	_, err := c.PutPolicy(vhost, "p", hole.Policy{
		Pattern: "^q", ApplyTo: "queues", Definition: hole.PolicyDefinition{"nonsense": 1},
	})
	refused("put nonsense", err, 400, "nonsense")
	is("delete it", 204)(c.DeletePolicy(vhost, "p"))
	_, err = c.GetPolicy(vhost, "p")
	gone("read it", err)
	is("put an operator's", 201)(c.PutOperatorPolicy(vhost, "p", hole.OperatorPolicy{
		Pattern: "^q", ApplyTo: "queues", Priority: 3, Definition: two,
	}))
	same("the operator's", read(c.GetOperatorPolicy(vhost, "p")).Definition, two)
	is("delete the operator's", 204)(c.DeleteOperatorPolicy(vhost, "p"))
	_, err = c.GetOperatorPolicy(vhost, "p")
	gone("read the operator's", err)
}

// What is not here says why.
func missing(c *hole.Client) {
	_, err := c.DeclareShovel(vhost, "s", hole.ShovelDefinition{SourceURI: hole.URISet{"amqp://"}, DestinationURI: hole.URISet{"amqp://"}})
	refused("declare a shovel", err, 400, "component shovel not found")
	_, err = c.PutFederationUpstream(vhost, "f", hole.FederationDefinition{Uri: hole.URISet{"amqp://"}})
	refused("put an upstream", err, 400, "component federation-upstream not found")
	_, err = c.GetFederationUpstream(vhost, "f")
	gone("read an upstream", err)
	same("links", len(read(c.ListFederationLinks())), 0)
}

func about(c *hole.Client) {
	overview := read(c.Overview())
	var major, minor int
	if _, err := fmt.Sscanf(overview.RabbitMQVersion, "%d.%d", &major, &minor); err != nil || major < 4 {
		fail("the version", overview.RabbitMQVersion)
	}
	node := read(c.ListNodes())[0]
	same("the node", read(c.GetNode(node.Name)).Name, overview.Node)
	same("its state", node.IsRunning, true)
	for _, check := range []func() (hole.HealthCheckStatus, error){c.HealthCheckVirtualHosts, c.HealthCheckNodeIsQuorumCritical} {
		same("health", read(check()).Status, "ok")
	}
	ports := read(c.ProtocolPorts())
	same("the port", read(c.HealthCheckPortListener(uint(ports["amqp"]))).Status, "ok")
	for _, list := range []func() (int, error){
		func() (int, error) { rows, err := c.ListUsers(); return len(rows), err },
		func() (int, error) { rows, err := c.ListBindings(); return len(rows) + 1, err },
		func() (int, error) { rows, err := c.ListPermissions(); return len(rows), err },
		func() (int, error) { rows, err := c.ListTopicPermissions(); return len(rows) + 1, err },
		func() (int, error) { rows, err := c.ListExchanges(); return len(rows), err },
		func() (int, error) { rows, err := c.ListVhosts(); return len(rows), err },
	} {
		same("a list has rows", read(list()) > 0, true)
	}
	is("name the cluster", 204)(c.SetClusterName(hole.ClusterName{Name: "named"}))
	same("its name", read(c.GetClusterName()).Name, "named")
}

func main() {
	c, err := hole.NewClient(os.Args[1], "guest", "guest")
	if err != nil {
		panic(err)
	}
	about(c)
	vhosts(c)
	is("enter the vhost, which its maker may", 204)(c.UpdatePermissionsIn(vhost, "guest", hole.Permissions{Configure: ".*", Write: ".*", Read: ".*"}))
	users(c)
	permissions(c)
	entities(c)
	policies(c)
	missing(c)
	is("delete the user", 204)(c.DeleteUser("u"))
	is("delete the vhost", 204)(c.DeleteVhost(vhost))
	_, err = c.GetVhost(vhost)
	gone("read the vhost", err)
	fmt.Printf("%d steps, %d failed\n", steps, failures)
	if failures > 0 {
		os.Exit(1)
	}
}
