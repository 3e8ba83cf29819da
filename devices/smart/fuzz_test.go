package smart

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// echo answers every request with the same text, and records the requests.
type echo struct {
	answer   []byte
	requests []string
}

func (e *echo) Exchange(_ context.Context, request []byte) ([]byte, error) {
	e.requests = append(e.requests, string(request))
	return e.answer, nil
}

// FuzzCommands states that every answer of a device leads to a nameplate that is fit to print or to an error of home,
// and that setAccount never sends a network, whatever the device answers as its time.
func FuzzCommands(f *testing.F) {
	for _, s := range []string{
		`{"error_code":0,"result":{"mac":"5C-E9-31-00-00-01","type":"SMART.TAPOPLUG","model":"P100","nickname":"RG9vcg=="}}`,
		`{"error_code":0,"result":{"component_list":[{"id":"account"},{"id":"quick_setup"}],"mac":"5ce931000001"}}`,
		`{"error_code":0,"result":{"component_list":[{"id":"account"},{"id":"quick_setup"}],"wireless":{"ssid":"x"}}}`,
		`{"error_code":0,"result":[]}`, `{"error_code":0}`, `{"error_code":-1002}`, `{"error_code":1e9}`, `null`, ``,
		strings.Repeat(`[`, 20000),
		"{\"error_code\":0,\"result\":{\"mac\":\"5ce931000001\",\"model\":\"\xff\x1b\",\"nickname\":\"/w==\"}}",
	} {
		f.Add([]byte(s))
	}
	to := home.Credential{Epoch: 5, Username: "ann@example.org", Password: home.NewSecret("new-password")}
	f.Fuzz(func(t *testing.T, raw []byte) {
		dev := home.Device{ID: "mac-5ce931000001"}
		p, err := identify(t.Context(), &echo{answer: raw}, dev)
		switch {
		case err != nil && !errors.Is(err, home.ErrUnreachable):
			t.Errorf("got %v", err)
		case err == nil && (len(p.Name) > 120 || len(p.Model) > 120 || !utf8.ValidString(p.Name+p.Model)):
			t.Errorf("nameplate %+v", p)
		}
		e := &echo{answer: raw}
		r := keyring.Recipient{
			Device: dev, Terms: home.Terms{Bound: true}, Evidence: home.Evidence{Rank: home.ProvesFirst, Held: home.Stale},
		}
		_, err = setAccount(t.Context(), e, r, to)
		if err != nil && !errors.Is(err, home.ErrUnreachable) && !errors.Is(err, home.ErrRefused) {
			t.Errorf("got %v", err)
		}
		for i, request := range e.requests {
			var q struct{ Params map[string]json.RawMessage }
			if json.Unmarshal([]byte(request), &q) != nil || q.Params["wireless"] != nil ||
				i < 2 && strings.Contains(request, "account") {
				t.Errorf("it received %s", request)
			}
		}
		if err == nil && (len(e.requests) != 3 || !hasComponents(resultOf(t, raw), "account", "quick_setup")) {
			t.Errorf("changed by %d requests", len(e.requests))
		}
	})
}

func resultOf(t *testing.T, raw []byte) []byte {
	t.Helper()
	var a struct{ Result json.RawMessage }
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return a.Result
}
