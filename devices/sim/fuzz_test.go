package sim_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func FuzzEveryRequestIsAnsweredByItsModules(f *testing.F) {
	for _, seed := range []string{
		who, whose, bind, unbind, `{}`, `null`, `{"system":null}`,
		`{"system":{"get_sysinfo":null,"set_relay_state":{"state":1}}}`,
		`{"system":{"set_dev_alias":{"alias":"Hall"}},"cnCloud":{"set_server_url":{"server":"x"}},"time":{"get_time":{}}}`,
		`{"smartlife.iot.common.cloud":{"bind":{"username":"a","password":"b"},"unbind":{}}}`, `[]`, `{"cnCloud":{"bind":7}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []home.Kind{home.Plug, home.Bulb, home.Camera} {
			d := sim.Unplugged(sim.Spec{Kind: kind, Protocol: home.IOT, Username: "a@b.c", Password: home.NewSecret("old")})[0]
			raw, asks, ok := sim.Answer(d, []byte(text))
			if !ok {
				continue
			}
			var asked, answer map[string]map[string]any
			if err := json.Unmarshal(raw, &answer); err != nil {
				t.Fatalf("%s: %s: %v", kind, raw, err)
			}
			if err := json.Unmarshal([]byte(text), &asked); err != nil {
				t.Fatalf("taken for a request: %v", err)
			}
			if len(asked) != len(answer) {
				t.Errorf("%s: asked of %d modules, %d answer", kind, len(asked), len(answer))
			}
			if asks && !d.Holds("a@b.c", home.NewSecret("old")) {
				t.Errorf("%s: a question has changed what it holds", kind)
			}
			if u := d.Username(); u == "" != d.Password().IsZero() {
				t.Errorf("%s: it holds half of a pair", kind)
			}
		}
	})
}

func FuzzOneMessageIsAnsweredOnceADevice(f *testing.F) {
	all := sim.Unplugged(
		sim.Spec{
			Kind:     home.Plug,
			Protocol: home.IOT,
			Name:     `Hall "1".a\b`,
		},
		sim.Spec{Kind: home.Bulb, Protocol: home.IOT},
		sim.Spec{Kind: home.Switch, Protocol: home.IOT},
	)
	for _, name := range []string{
		"_services._dns-sd._udp.local.", "_hap._tcp.local.", "bulb-1._HAP._tcp.local.", `Hall\ \"1\"\.a\\b._hap._tcp.local.`,
		"hs100-350001.local.",
	} {
		for _, typ := range []uint16{dns.TypePTR, dns.TypeANY, dns.TypeSRV, dns.TypeA} {
			q := new(dns.Msg).SetQuestion(name, typ)
			q.Question = append(q.Question, q.Question[0])
			if b, err := q.Pack(); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var q dns.Msg
		if q.Unpack(b) != nil {
			return
		}
		answers := sim.Answers(all, &q)
		if len(answers) > len(all)+1 {
			t.Errorf("%d messages for %d devices", len(answers), len(all))
		}
		types := 0
		for _, m := range answers {
			if m.Answer[0].Header().Name == "_services._dns-sd._udp.local." {
				types++
			}
			raw, err := m.Pack()
			if err != nil || len(raw) > 1400 {
				t.Errorf("answer of %d bytes, %v: %v", len(raw), err, m)
			}
			if !m.Response || len(m.Answer) == 0 {
				t.Errorf("no answer: %v", m)
			}
		}
		if types > 1 {
			t.Errorf("the one type is announced %d times", types)
		}
	})
}

// Laws: every request of a session is answered in JSON, every one of those in a multipleRequest once and in order, and
// a question changes nothing of what the device holds.
func FuzzSmartRequests(f *testing.F) {
	for _, seed := range []string{
		`{"method":"get_device_info"}`, `{"method":"component_nego","params":null}`, `{"method":7}`, `[]`, `null`, ``,
		`{"method":"multipleRequest","params":{"requests":[{"method":"get_device_time"},{"method":"dance"}]}}`,
		`{"method":"multipleRequest","params":{"requests":[{"method":"multipleRequest","params":{"requests":[]}}]}}`,
		`{"method":"multipleRequest","params":{"requests":[null,{}]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := sim.Unplugged(sim.Spec{
			Kind: home.Bulb, Protocol: home.KLAP2, Username: "a@b.c", Password: home.NewSecret("old"),
		})[0]
		type request struct{ Method string }
		var asked struct {
			request
			Params struct{ Requests []request }
		}
		var answer struct {
			Code   *int `json:"error_code"`
			Result struct{ Responses []request }
		}
		raw := sim.SmartAnswer(d, text)
		if err := json.Unmarshal([]byte(raw), &answer); err != nil || answer.Code == nil {
			t.Fatalf("%s: %s: %v", text, raw, err)
		}
		if json.Unmarshal([]byte(text), &asked) == nil && asked.Method == "multipleRequest" && *answer.Code == 0 &&
			!slices.Equal(asked.Params.Requests, answer.Result.Responses) {
			t.Errorf("%s: answered %s", text, raw)
		}
		if !strings.Contains(text, "set_qs_info") && !d.Holds("a@b.c", home.NewSecret("old")) {
			t.Errorf("%s: a question has changed what it holds", text)
		}
	})
}
