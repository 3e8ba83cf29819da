package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

func TestAPolicyFileChangesWhatItNames(t *testing.T) {
	p, err := account.ParsePolicy([]byte(`{"profile":"vendor","reset_life":"15m","login_failures":7,"activation":false,"hash_threads":2}`))
	if err != nil {
		t.Fatal(err)
	}
	want := account.VendorPolicy()
	want.ResetLife, want.LoginFailures, want.Activation, want.HashThreads = 15*time.Minute, 7, false, 2
	if p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	if p, err := account.ParsePolicy([]byte("{}")); err != nil || p != account.DefaultPolicy() {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAPolicyFileThatIsWrongIsNamedWhereItIs(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "not a JSON object",
		"[]":                      "not a JSON object",
		`{"profile":"strict"}`:    `profile: want "default" or "vendor"`,
		"null":                    "not a JSON object",
		`{"reset_life":"15m"} {}`: "not a JSON object",
		`{"profile":"default","Reset_life":"15m"}`: `"Reset_life": there is no such limit`,
		`{"reset_lief":"15m"}`:                     `"reset_lief": there is no such limit; there are profile, activation, reset_life`,
		`{"reset_life":15}`:                        `reset_life: want a time like "30m" or "1h30m", 1s to 24h`,
		`{"reset_life":null}`:                      `reset_life: want a time like "30m"`,
		`{"reset_life":"15 minutes"}`:              `reset_life: want a time like "30m"`,
		`{"reset_life":"0s"}`:                      "reset_life: 0s is not within 1s to 24h",
		`{"reset_life":"9999h"}`:                   "reset_life: 9999h is not within 1s to 24h",
		`{"login_failures":0}`:                     "login_failures: 0 is not within 1 to",
		`{"login_failures":"7"}`:                   "login_failures: want a whole number, 1 to 1000",
		`{"login_failures":1.5}`:                   "login_failures: want a whole number",
		`{"login_failures":null}`:                  "login_failures: want a whole number",
		`{"activation":1}`:                         "activation: want true or false",
		`{"password_min":20,"password_max":10}`:    "password_min: 20 is more than password_max, 10",
		`{"password_min":4}`:                       "password_min: 4 is not within 6 to 32",
		`{"password_max":64}`:                      "password_max: 64 is not within 6 to 32",
		`{"hash_memory":1024}`:                     "hash_memory: 1024 is not within 19456 to",
		`{"hash_threads":300}`:                     "hash_threads: 300 is not within 1 to 64",
		`{"max_devices":-1}`:                       "max_devices: -1 is not within 1 to",
		`{"max_devices":99999999999999999999}`:     "max_devices: want a whole number",
		`{"forgot_answer":"10ms"}`:                 "forgot_answer: 10ms is not within 100ms to 10s",
		`{"hash_time":1,"reset_life":"1ms"}`:       "hash_time: 1 is not within 2 to 100\npolicy: reset_life: 1ms is not within",
		`{"a":1,"b":2}`:                            `"b": there is no such limit`,
	} {
		_, err := account.ParsePolicy([]byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"profile":"vendor","reset_life":"15m","login_failures":7}`))
	f.Add([]byte(`{"password_min":32,"password_max":6,"hash_time":0}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := account.ParsePolicy(raw)
		if err == nil && (p.PasswordMin < 6 || p.PasswordMax > 32 || p.ResetLife <= 0 || p.HashMemory < 19<<10 || p.LoginFailures < 1) {
			t.Errorf("taken: %+v", p)
		}
	})
}
