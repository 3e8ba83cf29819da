package home_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

const canary = "Kanarienvogel-7f3a"

// nowhere fails where out holds the secret, in any of the forms in which something may print it.
func nowhere(t *testing.T, where, out string) {
	t.Helper()
	for _, form := range []string{
		canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary)),
		fmt.Sprint([]byte(canary)), fmt.Sprintf("% x", canary), fmt.Sprintf("%# x", canary),
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
			t.Errorf("%s shows the secret: %s", where, out)
		}
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	s := home.NewSecret(canary)
	k := home.KeyBytes([]byte(canary))
	type inside struct{ hidden home.Secret }
	type insideKey struct{ hidden home.Key }
	type named home.Credential
	values := map[string]any{
		"a value": s, "a pointer": &s, "a field": struct{ Shown home.Secret }{s}, "a hidden field": inside{s},
		"a pointer to a hidden field": &inside{s},
		"a key of bytes":              k, "a field with one": struct{ Shown home.Key }{k}, "a hidden one": insideKey{k},
		"a map of them": map[string]home.Key{"a": k}, "a pointer to a hidden one": &insideKey{k},
		"a list": []home.Secret{
			s,
		}, "an array": [1]home.Secret{s}, "a map": map[string]home.Secret{"a": s}, "a key": map[home.Secret]int{s: 1},
		"an interface": []any{s, &s},
		"a credential": home.Credential{
			Password:    s,
			EpochSecret: s,
		}, "another name for it": named{Password: s, EpochSecret: s}, "keys": home.HubKeys{Sign: s, Seal: s},
		"a move": home.Move{
			From: home.Credential{Password: s},
			To:   home.Credential{EpochSecret: s},
		}, "candidates": home.Candidates{Credentials: []home.Credential{{Password: s}}},
		"an error": &home.Error{
			Op:  "open",
			Err: fmt.Errorf("with %v: %w", s, home.ErrCredential),
		}, "deep": []map[string]*inside{{"a": {s}}},
	}
	for name, v := range values {
		for _, verb := range []string{
			"%v", "%+v", "%#v", "%q", "%x", "%X", "%d", "%s", "%o", "%c", "%U", "%t", "%e", "%p",
			"%T", "%# x", "%08q", "%-40s", "%.3s", "%z",
		} {
			nowhere(t, name+" with "+verb, fmt.Sprintf(verb, v))
		}
		nowhere(t, name+" with Sprint", fmt.Sprint(v))
		nowhere(t, name+" with Sprintln", fmt.Sprintln(v))
	}
	for _, verb := range []string{"%v", "%s", "%q", "%x", "%d", "%+v", "%#v"} {
		if got := fmt.Sprintf(verb, s); got != "[redacted]" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	nowhere(
		t, "a panic's text", fmt.Sprint(errors.Join(fmt.Errorf("%x", s), fmt.Errorf("%w", values["an error"].(error)))),
	)
}

func TestNoLogHoldsASecret(t *testing.T) {
	s := home.NewSecret(canary)
	type inside struct{ Shown, hidden home.Secret }
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		log := slog.New(handler(&b)).With("secret", s).WithGroup("g")
		log.Info(
			"words",
			"secret",
			s,
			"pointer",
			&s,
			"struct",
			inside{s, s},
			"list",
			[]home.Secret{s},
			"map",
			map[string]home.Secret{"a": s},
			"key",
			map[home.Secret]bool{s: true},
			slog.Any("any", inside{s, s}),
			slog.Group("h", "secret", s),
			"err",
			fmt.Errorf("with %v: %w", s, home.ErrCredential),
			"credential",
			home.Credential{Password: s, EpochSecret: s},
			"text",
			fmt.Sprint(s),
		)
		nowhere(t, name, b.String())
		if !strings.Contains(b.String(), "[redacted]") {
			t.Errorf("%s: nothing was logged: %s", name, b.String())
		}
	}
}

func TestNoEncodingHoldsASecret(t *testing.T) {
	s := home.NewSecret(canary)
	type inside struct {
		Shown  home.Secret
		hidden home.Secret
	}
	for name, v := range map[string]any{
		"a value": s, "a pointer": &s, "a field": inside{
			s,
			s,
		}, "a list": []home.Secret{s}, "a map": map[string]home.Secret{"a": s},
		"a key": map[home.Secret]string{s: "a"}, "a credential": home.Credential{
			Password:    s,
			EpochSecret: s,
		}, "keys": home.HubKeys{Sign: s, Seal: s},
	} {
		raw, err := json.Marshal(v)
		if err != nil || !bytes.Contains(raw, []byte("[redacted]")) {
			t.Errorf("json of %s: %s, %v", name, raw, err)
		}
		nowhere(t, "json of "+name, string(raw))
	}
	for name, v := range map[string]any{
		"a value": s, "a credential": home.Credential{Password: s},
		"keys": home.HubKeys{Sign: s},
	} {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(v); err != nil {
			t.Errorf("gob of %s: %v", name, err)
		}
		nowhere(t, "gob of "+name, b.String())
	}
	type element struct {
		A home.Secret `xml:",attr"`
		B home.Secret
	}
	raw, err := xml.Marshal(element{s, s})
	if err != nil || !strings.Contains(string(raw), "[redacted]") {
		t.Errorf("xml: %s, %v", raw, err)
	}
	nowhere(t, "xml", string(raw))
}

func TestASecretIsWhatItWasMadeOf(t *testing.T) {
	b := []byte(canary)
	s := home.SecretBytes(b)
	clear(b)
	if s.Reveal() != canary || !s.Equal(home.NewSecret(canary)) || s != home.NewSecret(canary) || s.IsZero() {
		t.Error("a secret is not what it was made of")
	}
	for _, zero := range []home.Secret{{}, home.NewSecret(""), home.SecretBytes(nil)} {
		if !zero.IsZero() || zero.Reveal() != "" || zero.Equal(s) || s.Equal(zero) || !zero.Equal(home.Secret{}) {
			t.Errorf("an empty secret is not none: %q", zero.Reveal())
		}
		if fmt.Sprint(zero) != "[redacted]" {
			t.Error("an empty secret shows that it is empty")
		}
	}
	if s.Equal(home.NewSecret(canary+"x")) || s.Equal(home.NewSecret(strings.ToUpper(canary))) {
		t.Error("another secret is equal")
	}
}
