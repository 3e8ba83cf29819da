package account_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// asks calls passthrough from elsewhere, and returns where its answer comes.
func (c *cloud) asks(token, device, request string) <-chan passed {
	out := make(chan passed, 1)
	go func() {
		var r struct{ ResponseData string }
		code := c.call(token, "passthrough", p{"deviceId": device, "requestData": request}, &r)
		out <- passed{code, r.ResponseData}
	}()
	return out
}

type passed struct {
	code v1.Code
	text string
}

// opens waits for the service's request, and opens it.
func (m *by) opens() (*wire.Message, *wire.Relay, string) {
	m.t.Helper()
	for {
		select {
		case got := <-m.in:
			b, ok := got.Body.(*wire.Relay)
			if !ok || m.opened == got.ID {
				continue // the last one again, on a machine that is slow
			}
			m.opened = got.ID
			plain, err := m.id.Open(wire.RelayInfo(m.account, m.c.s.Name(), m.id.Name, b.Device, got.ID), b.Sealed)
			if err != nil {
				m.t.Fatal(err)
			}
			if strings.Contains(m.c.carried.String(), string(plain)) {
				m.t.Error("the broker carried the request in the clear")
			}
			return got, b, string(plain)
		case <-time.After(time.Minute):
			m.t.Fatal("no request came")
		}
	}
}

func (m *by) answers(to *wire.Message, b *wire.Relay, code, plain string) {
	m.t.Helper()
	sealed, err := m.c.s.Identity().Keys.SealTo(
		wire.RelayInfo(m.account, m.id.Name, m.c.s.Name(), b.Device, to.ID), []byte(plain),
	)
	if err != nil {
		m.t.Fatal(err)
	}
	m.replies(to.ID, &wire.Relayed{Account: b.Account, Device: b.Device, Code: code, Sealed: sealed})
}

func (m *by) replies(re string, b *wire.Relayed) {
	m.t.Helper()
	m.seq++
	raw, err := m.id.Sign(&wire.Message{Re: re, To: m.c.s.Name(), Seq: m.seq, At: time.Now().UnixMilli(), Body: b})
	if err != nil {
		m.t.Fatal(err)
	}
	m.publish(raw)
}

func TestAnAppSpeaksToADeviceThroughItsHub(t *testing.T) {
	c := open(t, nil)
	token, hub, _ := c.enrolled()
	hub.hello(1)
	gs := hub.plugs("plug-", 1)
	const request, response = `{"system":{"set_relay_state":{"state":1}}}`, `{"system":{"set_relay_state":{"err_code":0}}}`
	answer := c.asks(token, strings.ToUpper(gs[0].id), request)
	m, b, plain := hub.opens()
	if plain != request || b.Device != gs[0].id || b.Boot != 1 || b.Until < 9000 || b.Until > 60_000 {
		t.Errorf("%s for %s, in start %d until %d", plain, b.Device, b.Boot, b.Until)
	}
	// Only the answer of who was asked, about what was asked, counts; and a device that refuses has answered.
	other, _ := c.hub(c.pair(token))
	other.replies(m.ID, &wire.Relayed{Account: other.account, Device: b.Device, Code: wire.CodeOffline})
	hub.replies(m.ID, &wire.Relayed{Account: hub.account, Device: "plug-other", Code: wire.CodeOffline})
	hub.replies(wire.NewID(), &wire.Relayed{Account: hub.account, Device: b.Device, Code: wire.CodeOffline})
	c.dropped("unexpected", 3)
	hub.answers(m, b, "", response)
	if got := <-answer; got.code != 0 || got.text != response {
		t.Fatalf("%+v", got)
	}
	for code, want := range map[string]v1.Code{
		wire.CodeOffline: v1.DeviceOffline, wire.CodeUnknown: v1.NotBound, wire.CodeBusy: v1.Busy,
		wire.CodeNotSpoken: v1.InvalidInput, "unknown-code": v1.DeviceOffline,
	} {
		answer := c.asks(token, gs[0].id, request)
		m, b, _ := hub.opens()
		hub.answers(m, b, code, "")
		if got := <-answer; got.code != want {
			t.Errorf("%s: %d, want %d", code, got.code, want)
		}
	}
	answer = c.asks(token, gs[0].id, request)
	m, b, _ = hub.opens()
	hub.replies(m.ID, &wire.Relayed{Account: b.Account, Device: b.Device, Sealed: []byte("not sealed at all, but long " +
		"enough to be")})
	if got := <-answer; got.code != v1.DeviceOffline {
		t.Errorf("an answer that does not open: %d", got.code)
	}
	unknown := p{"deviceId": "plug-absent", "requestData": request}
	if code := c.call(token, "passthrough", unknown, nil); code != v1.NotBound {
		t.Errorf("an unknown device: %d", code)
	}
	// A hub that is gone is reported by its own will.
	if err := hub.conn.Publish(mqtt.Message{
		Topic: wire.StatusTopic(hub.id.Name), Payload: []byte(`{"online":false,"boot":"9"}`), Retained: true,
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub is known to be gone", func() bool {
		var r struct {
			Hubs []struct {
				Hub    string
				Online bool
			}
		}
		c.call(token, "listHubs", p{}, &r)
		return slices.ContainsFunc(r.Hubs, func(h struct {
			Hub    string
			Online bool
		},
		) bool {
			return h.Hub == hub.id.Name && !h.Online
		})
	})
	// A status is unsigned: on an open broker anybody can publish it. The hub is asked all the same.
	answer = c.asks(token, gs[0].id, request)
	m, b, _ = hub.opens()
	hub.answers(m, b, "", response)
	if got := <-answer; got.code != 0 || got.text != response {
		t.Errorf("a hub that another one reported as gone: %+v", got)
	}
	if got := <-c.asks(token, gs[0].id, "{}"); got.code != v1.DeviceOffline {
		t.Errorf("a hub that is gone: %d", got.code)
	}
}

func TestARequestThatWasLostIsSentAgain(t *testing.T) {
	c := open(t, nil)
	token, hub, _ := c.enrolled()
	hub.hello(1)
	device := hub.plugs("plug-", 1)[0].id
	answer := c.asks(token, device, "{}")
	lost, _, _ := hub.opens()
	hub.opened = "" // so that the same is taken again
	again, b, _ := hub.opens()
	if again.ID != lost.ID {
		t.Errorf("sent again as another request: a hub could not recognise it as one")
	}
	hub.answers(again, b, "", "{}")
	if got := <-answer; got.code != 0 {
		t.Errorf("%+v", got)
	}
}

func TestARequestThatTheHubCannotOpenIsSealedAgain(t *testing.T) {
	c := open(t, nil)
	token, hub, _ := c.enrolled()
	hub.hello(1)
	device := hub.plugs("plug-", 1)[0].id
	answer := c.asks(token, device, "{}")
	first, b, _ := hub.opens()
	hub.answers(first, b, wire.CodeOldKey, "")
	second, b, _ := hub.opens()
	if second.ID == first.ID {
		t.Error("it has the same ID: a hub would repeat its answer")
	}
	hub.answers(second, b, "", "{}")
	if got := <-answer; got.code != 0 {
		t.Errorf("%+v", got)
	}
	answer = c.asks(token, device, "{}")
	for range 2 {
		m, b, _ := hub.opens()
		hub.answers(m, b, wire.CodeOldKey, "")
	}
	if got := <-answer; got.code != v1.Busy {
		t.Errorf("a hub that opens nothing: %+v", got)
	}
}

func TestCamerasOfTheNCClassAreForTPCameraOnly(t *testing.T) {
	c := open(t, nil)
	_, hub, _ := c.enrolled()
	secret := hub.plugs("plug-", 1)[0].secret
	ds := []wire.Device{{ID: "nc-1", Kind: "camera", Protocol: "iot", Model: "NC450(UN)", Name: "door"}}
	if r := want[*wire.Receipt](t, hub.bind(ds, []home.Key{secret})); len(r.Refused) > 0 {
		t.Fatal(r.Refused)
	}
	for app, sees := range map[string]int{
		"tpCamera_Android": 2, "Kasa_Android": 1, "Tapo_Android": 1, "rekeyd_Web": 1, "": 1,
	} {
		token, _, code := c.login(password, app)
		if code != 0 {
			t.Fatal(code)
		}
		if listed, _ := c.online(token); listed != sees {
			t.Errorf("%s sees %d devices, want %d", app, listed, sees)
		}
		for _, method := range []string{"passthrough", "unbindDevice"} {
			if app == "tpCamera_Android" {
				continue
			}
			if code := c.call(token, method, p{"deviceId": "nc-1", "requestData": "{}"}, nil); code != v1.NotBound {
				t.Errorf("%s at the door of %q: %d", method, app, code)
			}
		}
	}
}

func TestATokenAloneGivesNoDeviceAway(t *testing.T) {
	c := open(t, nil)
	c.register()
	token, refresh, _ := c.login(password, "Kasa_Android")
	hub, _ := c.hub(c.pair(token))
	hub.hello(1)
	device := hub.plugs("plug-", 1)[0].id
	const unbind = `{"cnCloud":{"UNBIND":{}}}`
	answer := c.asks(token, device, unbind) // the password was just given
	m, b, _ := hub.opens()
	hub.answers(m, b, "", "{}")
	if got := <-answer; got.code != 0 {
		t.Fatalf("just after the login: %+v", got)
	}
	c.clock.add(5*time.Minute + time.Second)
	var renewed struct{ Token string }
	renewal := p{"appType": "", "terminalUUID": "t", "refreshToken": refresh}
	if code := c.call("", "refreshToken", renewal, &renewed); code != 0 {
		t.Fatal(code)
	}
	for name, old := range map[string]string{"an older token": token, "one that was renewed without the " +
		"password": renewed.Token} {
		if got := <-c.asks(old, device, unbind); got.code != v1.TokenExpired {
			t.Errorf("%s: %+v", name, got)
		}
	}
	answer = c.asks(token, device, `{"system":{"get_sysinfo":{}}}`)
	m, b, plain := hub.opens()
	hub.answers(m, b, "", "{}")
	if got := <-answer; got.code != 0 || plain == unbind {
		t.Errorf("a harmless request: %+v, %s", got, plain)
	}
}
