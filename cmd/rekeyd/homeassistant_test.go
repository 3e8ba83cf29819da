package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/homeassistant/hatest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// ownBroker is an owner's mosquitto, as with Home Assistant: on its usual port, for users with a password.
type ownBroker struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

const ownBrokerAddr = "127.0.0.1:1883"

func newOwnBroker(t *testing.T) *ownBroker {
	t.Helper()
	b := &ownBroker{t: t, dir: t.TempDir()}
	for _, name := range []string{"mosquitto", "mosquitto_passwd", "mosquitto_sub", "mosquitto_pub"} {
		if _, err := exec.LookPath(name); err != nil {
			nettest.Missing(t, "%s is missing (Debian: mosquitto, mosquitto-clients)", name)
		}
	}
	passwords := filepath.Join(b.dir, "passwords")
	for i, user := range []string{"rekeyd", "reader"} {
		args := []string{"-b", passwords, user, user + "-password"}
		if i == 0 {
			args = append([]string{"-c"}, args...)
		}
		out, err := exec.Command("mosquitto_passwd", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
	ok(t, os.WriteFile(filepath.Join(b.dir, "conf"), fmt.Appendf(nil,
		"listener 1883 127.0.0.1\nallow_anonymous false\npassword_file %s\npersistence false\nuser root\n", passwords,
	), 0o600))
	b.start()
	t.Cleanup(b.kill)
	return b
}

func (b *ownBroker) start() {
	b.cmd = exec.Command("mosquitto", "-c", filepath.Join(b.dir, "conf"))
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ok(b.t, b.cmd.Start())
	nettest.AwaitOpen(b.t, ownBrokerAddr)
}

// kill ends the broker; it keeps nothing.
func (b *ownBroker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// client is a user of a broker, over mosquitto's own clients.
type client struct {
	t                    *testing.T
	port, user, password string
}

func (c client) run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, append([]string{"-p", c.port, "-u", c.user, "-P", c.password}, args...)...).Output()
	return string(out), err
}

// retained returns the retained messages below a filter, by topic.
func (c client) retained(filter string) map[string]string {
	out, _ := c.run("mosquitto_sub", "-t", filter, "--retained-only", "-W", "1", "-q", "1", "-F", "%t\t%p")
	all := map[string]string{}
	for line := range strings.Lines(out) {
		if topic, payload, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
			all[topic] = payload
		}
	}
	return all
}

// await waits until the retained messages are as they should be.
func (c client) await(what, filter string, good func(map[string]string) bool) map[string]string {
	c.t.Helper()
	var got map[string]string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = c.retained(filter); good(got) {
			return got
		}
	}
	c.t.Fatalf("%s: the broker has %v", what, got)
	return nil
}

func (c client) publish(topic, payload string, args ...string) {
	c.t.Helper()
	out, err := c.run("mosquitto_pub", append([]string{"-q", "1", "-t", topic, "-m", payload}, args...)...)
	if err != nil {
		c.t.Fatalf("publish: %v\n%s", err, out)
	}
}

// shown checks the discovery messages, and returns whether there is one for the hub and for n devices with states.
func shown(t *testing.T, n int) func(map[string]string) bool {
	return func(all map[string]string) bool {
		t.Helper()
		configs, states := 0, 0
		for topic, payload := range all {
			switch {
			case strings.HasSuffix(topic, "/config"):
				configs++
				if err := hatest.Check(topic, []byte(payload)); err != nil {
					t.Errorf("%s: %v", topic, err)
				}
			case strings.Contains(topic, "/device/") && strings.HasSuffix(topic, "/state"):
				states++
			}
		}
		return configs == n+1 && states == n
	}
}

// topicOf returns the topic of a device with this last level.
func topicOf(s daemon.Status, d *sim.Device, leaf string) string {
	for _, r := range s.Devices {
		if r.Name == d.Name() {
			return fmt.Sprintf("rekeyd/house/%s/device/%s/%s", s.Hub, r.ID, leaf)
		}
	}
	return "no such device"
}

// awaitHolds waits until a device really holds a password, after its button was pressed.
func (r *rig) awaitHolds(d *sim.Device, password string) {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !d.Holds(rigEmail, home.NewSecret(password)); {
		if time.Now().After(end) {
			r.t.Fatalf("the button was pressed, and the device is not moved; log:\n%s", r.log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	ok(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	return path
}

// TestHomeAssistantShowsTheHouseAtTheOwnersBroker plays Home Assistant with the clients of mosquitto.
func TestHomeAssistantShowsTheHouseAtTheOwnersBroker(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	own := newOwnBroker(t)
	reader := client{t, "1883", "reader", "reader-password"}
	r := newRig(t, "plug:klap2=2,camera:tapocam=1")
	r.args = append(r.args, "--home-assistant", "--mqtt", "mqtt://rekeyd@"+ownBrokerAddr,
		"--mqtt-password-file", secretFile(t, "wrong-password"))
	r.start()
	r.await("the refusal shown", 2*time.Minute, func(s daemon.Status) bool {
		raw, _ := json.Marshal(s.Troubles)
		return strings.Contains(string(raw), "not published over MQTT") && strings.Contains(string(raw), "mqtt-password-file")
	})
	r.kill()
	r.args[len(r.args)-1] = secretFile(t, "rekeyd-password")
	const first, second = "password-number-001", "password-number-002"
	r.setUp(first)
	ok(t, r.change(first, second))
	s := r.await("moved", 2*time.Minute, allCurrent(3, 2))
	reader.await("the house", "#", func(all map[string]string) bool {
		return shown(t, 3)(all) && strings.Count(fmt.Sprint(all), `"verdict":"current"`) == 3 &&
			strings.Contains(all["rekeyd/house/"+string(s.Hub)+"/state"], `"epoch":2,"devices":3,"kept":3`) &&
			all["rekeyd/house/"+string(s.Hub)+"/availability"] == "online"
	})

	// A device is set back behind the hub's back. The hub would see that in minutes; the button is pressed.
	plug := r.house.Devices()[0]
	plug.Hold(rigEmail, home.NewSecret(first))
	reader.publish(topicOf(s, plug, "rekey"), "PRESS")
	r.awaitHolds(plug, second)
	reader.await("moved by the button", topicOf(s, plug, "state"), func(all map[string]string) bool {
		return strings.Contains(fmt.Sprint(all), `"verdict":"current"`)
	})

	// The broker loses everything.
	own.kill()
	own.start()
	reader.await("after the broker lost all", "#", shown(t, 3))
	// Home Assistant starts, and somebody has cleared a message.
	config := fmt.Sprintf("homeassistant/device/%s/config", s.Hub)
	reader.publish(config, "", "-r")
	reader.publish("homeassistant/status", "online")
	reader.await("after the birth message", "#", shown(t, 3))

	if out, err := r.rekeyd("", "unbind", plug.Name()); err != nil {
		t.Fatalf("unbind: %s", out)
	}
	reader.await("unbound", "#", shown(t, 2))

	availability := "rekeyd/house/" + string(s.Hub) + "/availability"
	is := func(want string) func(map[string]string) bool {
		return func(all map[string]string) bool { return all[availability] == want }
	}
	r.kill() // the broker has the will
	reader.await("killed", availability, is("offline"))
	r.start()
	reader.await("back", availability, is("online"))
	ok(t, r.cmd.Process.Signal(os.Interrupt))
	ok(t, r.cmd.Wait())
	r.cmd = nil
	reader.await("ended", availability, is("offline"))
	for topic, payload := range reader.retained("#") {
		if strings.Contains(topic+payload, rigEmail) || strings.Contains(payload, "password-number") {
			t.Errorf("%s: %s", topic, payload)
		}
	}
}

// TestUsersOfTheEmbeddedBrokerReadTheHouseAndNothingElse adds Home Assistant as a user of the broker that the daemon
// brings along.
func TestUsersOfTheEmbeddedBrokerReadTheHouseAndNothingElse(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	newOwnBroker(t).kill() // its clients are needed
	r := newRig(t, "plug:klap2=1")
	r.args = append(r.args, "--home-assistant=ha", "--mqtt-topic", "keys")
	out, err := r.rekeyd("", "mqtt-user", "add", "homeassistant")
	if err == nil {
		t.Fatalf("added before the daemon has run: %s", out)
	}
	const first, second = "password-number-001", "password-number-002"
	r.setUp(first)
	ok(t, r.change(first, second))
	r.await("moved", 2*time.Minute, allCurrent(1, 2))
	out, err = r.rekeyd("", "mqtt-user", "add", "homeassistant")
	_, password, found := strings.Cut(strings.TrimSpace(out), "shown this once: ")
	if err != nil || !found {
		t.Fatalf("add: %v\n%s", err, out)
	}
	user := client{t, "7355", "homeassistant", password}
	all := user.await("the house", "ha/#", func(all map[string]string) bool { return len(all) == 2 })
	for topic, payload := range all {
		ok(t, hatest.Check(topic, []byte(payload)))
	}
	s, err := r.status()
	ok(t, err)
	plug := r.house.Devices()[0]
	state := strings.Replace(topicOf(s, plug, "state"), "rekeyd/house", "keys", 1)
	user.await("the state", "keys/#", func(all map[string]string) bool {
		return strings.Contains(all[state], `"current"`)
	})

	for _, filter := range []string{
		"#", "+/#", "rekeyd/#", "rekeyd/v1/#", "rekeyd/v1/account/+/notice", "rekeyd/v1/account/+/device/+/state",
		"rekeyd/v1/hub/+/status", "rekeyd/v1/hub/" + string(s.Hub) + "/inbox",
		"rekeyd/v1/hub/" + string(s.Hub) + "/outbox",
		"$SYS/#",
	} {
		if got := user.retained(filter); len(got) != 0 {
			t.Errorf("%s gives %v", filter, got)
		}
	}
	// A message that it may not publish changes nothing.
	user.publish(state, "forged", "-r")
	user.publish("rekeyd/v1/hub/"+string(s.Hub)+"/status", "forged", "-r")
	user.publish("ha/device/"+string(s.Hub)+"/config", "forged", "-r")
	user.publish("ha/status", "online", "-r")
	plug.Hold(rigEmail, home.NewSecret(first))
	user.publish(strings.Replace(topicOf(s, plug, "rekey"), "rekeyd/house", "keys", 1), "PRESS")
	r.awaitHolds(plug, second)
	if got := fmt.Sprint(user.retained("ha/#"), user.retained("keys/#")); strings.Contains(got, "forged") ||
		strings.Contains(got, "ha/status") {
		t.Errorf("a user published %s", got)
	}

	if raw, err := os.ReadFile(filepath.Join(r.state, "mqtt-users")); err != nil ||
		strings.Contains(string(raw), password) {
		t.Errorf("the file of users: %v\n%s", err, raw)
	}
	for _, c := range []client{
		{t, "7355", "homeassistant", "another"},
		{t, "7355", "stranger", password},
		{t, "7355", "house", password},
		{t, "7355", string(s.Hub), password},
	} {
		if out, err := c.run("mosquitto_sub", "-t", "keys/#", "-C", "1", "-W", "5"); err == nil {
			t.Errorf("%s with a wrong password reads %s", c.user, out)
		}
	}
	if out, err := r.rekeyd("", "mqtt-user", "list"); err != nil || out != "homeassistant\n" {
		t.Errorf("list: %v\n%s", err, out)
	}
	if out, err := r.rekeyd("", "mqtt-user", "remove", "homeassistant"); err != nil {
		t.Errorf("remove: %s", out)
	}
	for end := time.Now().Add(time.Minute); len(user.retained("keys/#")) != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a user that was removed still reads")
		}
	}
}
