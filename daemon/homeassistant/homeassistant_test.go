package homeassistant_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/homeassistant"
	"github.com/rekeyd/rekeyd/daemon/homeassistant/hatest"
)

func TestEveryDiscoveryMessageIsAsDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for _, v := range home.States() {
			h.status.Devices = append(h.status.Devices, rowOf("mac-"+string(v), string(v), v))
		}
		h.status.Devices = append(h.status.Devices, daemon.Row{ID: "rk-bare", Bound: true})
		h.run(func() {
			now := h.broker.now()
			checked, ids := 0, map[string]bool{}
			for topic, payload := range now {
				if !strings.HasPrefix(topic, "homeassistant/") {
					continue
				}
				checked++
				if err := hatest.Check(topic, []byte(payload)); err != nil {
					t.Errorf("%s: %v\n%s", topic, err, payload)
				}
				var c struct {
					Components map[string]struct {
						ID    string `json:"unique_id"`
						State string `json:"state_topic"`
					} `json:"cmps"`
				}
				if err := json.Unmarshal([]byte(payload), &c); err != nil {
					t.Fatal(err)
				}
				for _, e := range c.Components {
					if ids[e.ID] {
						t.Errorf("the ID %s stands twice", e.ID)
					}
					ids[e.ID] = true
					if _, ok := now[e.State]; e.State != "" && !ok {
						t.Errorf("%s is named and not published", e.State)
					}
				}
			}
			if checked != len(h.status.Devices)+1 || !ids["rekeyd_mac-50c7bf010203_verdict"] {
				t.Errorf("%d discovery messages", checked)
			}
			if !strings.Contains(now[lampConfig], `["mac","50:c7:bf:01:02:03"]`) {
				t.Errorf("the hardware address is missing: %s", now[lampConfig])
			}
		})
	})
}

func TestStatesFollowTheHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			want := `{"name":"lamp","kind":"plug","verdict":"current","reason":"","what_to_do":"","needs_attention":"OFF",` +
				`"password":2,"rekeyed":"2026-01-02T03:04:05Z","availability":"online"}`
			if got := h.broker.now()[lampState]; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := h.broker.now()[hubState]; !strings.Contains(got, `"devices":2,"kept":1,"moving":1,"need_you":0`) {
				t.Errorf("the hub is %s", got)
			}
			sent := h.broker.count()
			h.change(func(s *daemon.Status) {
				r := &s.Devices[0]
				r.Verdict, r.Detail, r.Hint = home.Mismatch, "it holds another", "press the button"
				r.Epoch, r.Rekeyed = 0, time.Time{}
			})
			want = `{"name":"lamp","kind":"plug","verdict":"mismatch","reason":"it holds another",` +
				`"what_to_do":"press the button","needs_attention":"ON","password":null,"rekeyed":null,"availability":"online"}`
			if got := h.broker.now()[lampState]; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if n := h.broker.count() - sent; n != 2 {
				t.Errorf("%d messages for a change of one device, want its state and the hub's", n)
			}
			h.change(func(s *daemon.Status) { s.Devices[0].Verdict = home.Unreachable })
			if got := h.broker.now()[lampState]; !strings.Contains(got, `"availability":"offline"`) {
				t.Errorf("a device that is off is %s", got)
			}
			sent = h.broker.count()
			time.Sleep(time.Hour)
			if h.broker.count() != sent {
				t.Errorf("%d messages without a change", h.broker.count()-sent)
			}
			if h.broker.now()[hubAvail] != "online" {
				t.Error("the hub is not online")
			}
		})
		if h.broker.now()[hubAvail] != "offline" {
			t.Error("the hub ended, and is online")
		}
		for topic, payload := range h.broker.now() {
			if strings.Contains(payload, "anna") || strings.Contains(topic, "anna") {
				t.Errorf("%s has the e-mail address: %s", topic, payload)
			}
		}
	})
}

func TestAllIsPublishedAgainWhenItMayBeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			before := h.broker.now()
			h.broker.lose()
			h.p.Receive("homeassistant/status", []byte("offline"), false)
			time.Sleep(10 * time.Second)
			if len(h.broker.now()) != 0 {
				t.Error("Home Assistant ended, and all was published")
			}
			h.p.Receive("homeassistant/status", []byte("online"), false) // its birth
			time.Sleep(10 * time.Second)
			if !maps.Equal(h.broker.now(), before) {
				t.Error("after a birth message, not all is published again")
			}
			h.broker.lose()
			h.p.Renew() // another connection
			time.Sleep(10 * time.Second)
			if !maps.Equal(h.broker.now(), before) {
				t.Error("after a new connection, not all is published again")
			}
			h.broker.set(hubAvail, "offline") // a late will
			h.p.Receive(hubAvail, []byte("offline"), false)
			time.Sleep(10 * time.Second)
			if h.broker.now()[hubAvail] != "online" {
				t.Error("a late will is not corrected")
			}
			sent := h.broker.count()
			for range 1000 { // anybody may send it
				h.p.Receive("homeassistant/status", []byte("online"), false)
				time.Sleep(10 * time.Millisecond)
			}
			if n := h.broker.count() - sent; n > 4*len(before) {
				t.Errorf("%d messages in 10 s of birth messages", n)
			}
		})
	})
}

func TestADeviceThatIsUnboundIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		// The broker has a device that was unbound while the daemon did not run, and one of another hub.
		const old, other = "rekeyd/house/hub-abc/device/mac-000000000001/state", "rekeyd/house/hub-xyz/device/mac-1/state"
		h.broker.set(old, "{}")
		h.broker.set("homeassistant/device/mac-000000000001/config", "{}")
		h.broker.set(other, "{}")
		h.run(func() {
			for topic, payload := range h.broker.now() {
				h.p.Receive(topic, []byte(payload), true)
			}
			time.Sleep(10 * time.Second)
			now := h.broker.now()
			if now[old] != "" || now["homeassistant/device/mac-000000000001/config"] != "" {
				t.Error("a device of earlier is still there")
			}
			if now[other] == "" || now[lampState] == "" {
				t.Error("another hub's device, or one that is bound, was removed")
			}
			h.broker.mu.Lock()
			h.broker.down = true // it is unbound while there is no connection
			h.broker.mu.Unlock()
			h.change(func(s *daemon.Status) { s.Devices = s.Devices[1:] })
			h.broker.mu.Lock()
			h.broker.down = false
			h.broker.mu.Unlock()
			h.p.Renew()
			time.Sleep(10 * time.Second)
			if now := h.broker.now(); now[lampState] != "" || now[lampConfig] != "" || now[hubConfig] == "" {
				t.Errorf("still there: %q, %q", now[lampState], now[lampConfig])
			}
		})
	})
}

func TestOrdersAreTakenOnceAndPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			send := func(topic, payload string, retained bool) { h.p.Receive(topic, []byte(payload), retained) }
			send(lampRekey, "PRESS", true) // would come at every connect
			send(lampRekey, "press", false)
			send(lampRekey, "", false)
			send(lampRekey+"/", "PRESS", false)
			send("rekeyd/house/hub-xyz/rekey", "PRESS", false)
			if len(h.orders) != 0 {
				t.Errorf("orders %v", h.orders)
			}
			for range 100 {
				send(lampRekey, "PRESS", false)
				send("rekeyd/house/hub-abc/rekey", "PRESS", false)
				send("rekeyd/house/hub-abc/device/mac-000000000000/rekey", "PRESS", false)
			}
			if want := []string{"mac-50c7bf010203", "all"}; !slices.Equal(h.orders, want) {
				t.Errorf("orders %v, want %v", h.orders, want)
			}
			time.Sleep(10 * time.Second)
			if send(lampRekey, "PRESS", false); len(h.orders) != 3 {
				t.Errorf("a later order was dropped: %v", h.orders)
			}
		})
	})
}

// A name comes from whoever announces it. It is a value in JSON and nothing else.
func TestANameChangesNoTopicAndNoTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			before := slices.Sorted(maps.Keys(h.broker.now()))
			for _, name := range []string{
				"{{ states('sensor.x') }}", `","cmps":{}`, "a/b/#/+", "\x00\n\u202e", strings.Repeat("x", 5000),
				"👨‍👩‍👧",
				"\xff\xfe",
			} {
				h.change(func(s *daemon.Status) {
					r := &s.Devices[0]
					r.Name, r.Model, r.Detail, r.Hint = name, name, name, name
				})
				now := h.broker.now()
				if !slices.Equal(slices.Sorted(maps.Keys(now)), before) {
					t.Errorf("%q changed the topics", name)
				}
				if err := hatest.Check(lampConfig, []byte(now[lampConfig])); err != nil || len(now[lampConfig]) > 8000 {
					t.Errorf("%q: %v, %d bytes", name, err, len(now[lampConfig]))
				}
				var c struct {
					Device     struct{ Name, Model string } `json:"dev"`
					Components map[string]map[string]any    `json:"cmps"`
				}
				if err := json.Unmarshal([]byte(now[lampConfig]), &c); err != nil {
					t.Fatal(err)
				}
				for key, e := range c.Components {
					for field, v := range e {
						if text, ok := v.(string); ok && (strings.Contains(text, "states(") || strings.Contains(text, "xxxx")) {
							t.Errorf("%s.%s has the name: %s", key, field, text)
						}
					}
				}
			}
		})
	})
}

func TestTopicsOfTheOwnerAreChecked(t *testing.T) {
	for _, c := range []struct {
		base, prefix string
		want         bool
	}{
		{"rekeyd/house", "homeassistant", true},
		{"rekeyd/house", "", true},
		{"home/keys", "ha", true},
		{"", "homeassistant", false},
		{"rekeyd/v1", "", false},
		{"rekeyd/v1/hub", "", false},
		{"a/#", "", false},
		{"+/a", "", false},
		{"/a", "", false},
		{"a/", "", false},
		{"a//b", "", false},
		{"$SYS", "", false},
		{"a b", "", false},
		{"homeassistant/rekeyd", "homeassistant", false},
		{"a", "a/b", false},
		{"a", "rekeyd/v1/x", false},
	} {
		if err := (homeassistant.Topics{Base: c.base, Prefix: c.prefix}).Check(); (err == nil) != c.want {
			t.Errorf("%q, %q: %v", c.base, c.prefix, err)
		}
	}
}
