package smart

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// parrot answers everything with the same, and hears what it is asked.
type parrot struct {
	says  []byte
	heard []string
}

func (p *parrot) Ask(_ context.Context, request []byte) ([]byte, error) {
	p.heard = append(p.heard, string(request))
	return p.says, nil
}

// FuzzCommandsAreAnsweredOrRefused states that whatever a device answers comes to an identity that can be shown or to an error of home's,
// and that a change carries no network along, whatever the device calls its time.
func FuzzCommandsAreAnsweredOrRefused(f *testing.F) {
	for _, s := range []string{
		`{"error_code":0,"result":{"mac":"5C-E9-31-00-00-01","type":"SMART.TAPOPLUG","model":"P100","nickname":"RG9vcg=="}}`,
		`{"error_code":0,"result":{"component_list":[{"id":"account"},{"id":"quick_setup"}],"mac":"5ce931000001"}}`,
		`{"error_code":0,"result":{"component_list":[{"id":"account"},{"id":"quick_setup"}],"wireless":{"ssid":"x"}}}`,
		`{"error_code":0,"result":[]}`, `{"error_code":0}`, `{"error_code":-1002}`, `{"error_code":1e9}`, `null`, ``, strings.Repeat(`[`, 20000),
		"{\"error_code\":0,\"result\":{\"mac\":\"5ce931000001\",\"model\":\"\xff\x1b\",\"nickname\":\"/w==\"}}",
	} {
		f.Add([]byte(s))
	}
	to := home.Credential{Epoch: 5, Username: "ann@example.org", Password: home.NewSecret("new-password")}
	f.Fuzz(func(t *testing.T, raw []byte) {
		who, err := askIdentity(t.Context(), &parrot{says: raw})
		switch {
		case err != nil && !errors.Is(err, home.ErrUnreachable):
			t.Errorf("got %v", err)
		case err == nil && (len(who.mac) != 12 || len(who.name) > 64 || len(who.model) > 64 || !utf8.ValidString(who.name+who.model)):
			t.Errorf("told of %+v", who)
		}
		p := &parrot{says: raw}
		_, err = change(t.Context(), p, to)
		if err != nil && !errors.Is(err, home.ErrUnreachable) && !errors.Is(err, home.ErrRefused) {
			t.Errorf("got %v", err)
		}
		for i, heard := range p.heard {
			var q struct{ Params map[string]json.RawMessage }
			if json.Unmarshal([]byte(heard), &q) != nil || q.Params["wireless"] != nil || i < 2 && strings.Contains(heard, "account") {
				t.Errorf("it was asked %s", heard)
			}
		}
		if err == nil && (len(p.heard) != 3 || !lists(resultOf(t, raw), "account", "quick_setup")) {
			t.Errorf("changed by %d requests", len(p.heard))
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
