package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

func TestAPolicyFileChangesWhatItNames(t *testing.T) {
	p, err := account.ParsePolicy([]byte(
		`{"password_min":6,"reset_life":"15m","login_failures":7,"activation":false,"hash_time":3}`,
	))
	if err != nil {
		t.Fatal(err)
	}
	want := account.DefaultPolicy()
	want.ResetLife, want.LoginFailures, want.Activation, want.HashTime = 15*time.Minute, 7, false, 3
	want.PasswordMin = 6
	if p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	if p, err := account.ParsePolicy([]byte("{}")); err != nil || p != account.DefaultPolicy() {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAPolicyFileThatIsWrongIsNamedWhereItIs(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "not a JSON object",
		"[]":                                   "not a JSON object",
		"null":                                 "not a JSON object",
		`{"reset_life":"15m"} {}`:              "not a JSON object",
		`{"Reset_life":"15m"}`:                 `"Reset_life": there is no such limit`,
		`{"reset_lief":"15m"}`:                 `"reset_lief": there is no such limit; there are activation, reset_life`,
		`{"reset_life":15}`:                    `reset_life: want a time like "30m" or "1h30m"`,
		`{"reset_life":null}`:                  `reset_life: want a value`,
		`{"reset_life":"15 min"}`:              `reset_life: want a time like "30m"`,
		`{"reset_life":"0s"}`:                  "reset_life: 0s is not within 1s to 24h",
		`{"reset_life":"9999h"}`:               "reset_life: 9999h0m0s is not within 1s to 24h",
		`{"login_failures":0}`:                 "login_failures: 0 is not within 1 to 1000",
		`{"login_failures":"7"}`:               "login_failures: want a value of type int",
		`{"login_failures":1.5}`:               "login_failures: want a value of type int",
		`{"login_failures":null}`:              "login_failures: want a value",
		`{"activation":1}`:                     "activation: want a value of type bool",
		`{"password_min":4}`:                   "password_min: 4 is not within 6 to 32",
		`{"password_min":33}`:                  "password_min: 33 is not within 6 to 32",
		`{"hash_memory":1024}`:                 "hash_memory: 1024 is not within 19456 to 4194304",
		`{"hash_time":-1}`:                     "hash_time: want a value of type uint32",
		`{"hash_memory":4294967296}`:           "hash_memory: want a value of type uint32",
		`{"forgot_from":99999999999999999999}`: "forgot_from: want a value of type int",
		`{"forgot_answer":"10ms"}`:             "forgot_answer: 10ms is not within 100ms to 10s",
		`{"hash_time":1,"reset_life":"1ms"}`:   "1s to 24h\npolicy: hash_time: 1 is not within 2",
		`{"a":1,"b":2}`:                        `"b": there is no such limit`,
	} {
		_, err := account.ParsePolicy([]byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"reset_life":"15m","login_failures":7}`))
	f.Add([]byte(`{"password_min":33,"hash_time":0}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := account.ParsePolicy(raw)
		if err == nil && (p.PasswordMin < 6 || p.PasswordMin > account.MaxPassword || p.ResetLife <= 0 ||
			p.HashMemory < 19<<10 || p.LoginFailures < 1) {
			t.Errorf("taken: %+v", p)
		}
	})
}
