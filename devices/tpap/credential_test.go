package tpap_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/tpap"
	"github.com/rekeyd/rekeyd/devices/tpap/vectors"
)

func TestCredentialsAgreeWithTheVectors(t *testing.T) {
	for _, c := range []struct {
		vector, extra string
		camera        bool
		password      string
	}{
		{"A", ``, true, "great_password"},
		{
			"B", `{"type":"password_shadow","params":{"passwd_id":5,"passwd_prefix":"$5$saltsaltsaltsalt$"}}`,
			true, "great_password",
		},
		{"C", `{"type":"password_shadow","params":{"passwd_id":2}}`, false, "great_password"},
		{"D", `null`, false, "great_password"},
		{"K", `{"type":"password_shadow","params":{"passwd_id":2}}`, false, "kat-password"},
	} {
		for _, v := range vectors.All(t) {
			if !strings.HasPrefix(v.Name, c.vector+" ") {
				continue
			}
			got, err := tpap.CredentialOf(c.extra, c.camera, "user@example.com", c.password)
			if err != nil || got != v.Text(t, "credential") {
				t.Errorf("%s: got %s, %v", v.Name, got, err)
			}
		}
	}
}

func TestTheUserNameIsNeverTheAddress(t *testing.T) {
	for hash, want := range map[int]string{
		0: "21232f297a57a5a743894a0e4a801fc3",
		1: "8C6976E5B5410415BDE908BD4DEE15DFB167A9C873FC4BB8A81F6F2AB448A918",
	} {
		if got := tpap.UserName(hash); got != want {
			t.Errorf("form %d: %s", hash, got)
		}
	}
}

func TestSecretsStandBehindTheAnswer(t *testing.T) {
	request := `{"method":"set_qs_info","params":{"account":{"password":"c2VjcmV0"}}}`
	hidden := string(tpap.Hide([]byte(request)))
	var a, b any
	err := errors.Join(json.Unmarshal([]byte(request), &a), json.Unmarshal([]byte(hidden), &b))
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Error("it means something else")
	}
	if at := strings.Index(hidden, "c2VjcmV0"); at < tpap.Hidden || tpap.Hidden < 512 {
		t.Errorf("the secret stands at %d", at)
	}
}

// refused are refusals of passwords by a plug that names no hash: it stretches the user name, "/" and the password.
func refused(at time.Time, passwords ...string) (all []home.Refusal) {
	for _, p := range passwords {
		all = append(all, home.Refusal{Credential: home.NewSecret("u/" + p), At: at})
	}
	return all
}

func TestWhichCredentialIsTried(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	hour := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Hour) }
	left := func(n int) *int { return &n }
	passwords := []string{"new", "old", "older"}
	for name, c := range map[string]struct {
		kept home.SignIns
		anew bool
		want string
		err  error
	}{
		"the newest":                  {home.SignIns{}, false, "new", nil},
		"the next after a refusal":    {home.SignIns{Refused: refused(now, "new"), LastRefused: now}, false, "old", nil},
		"what was accepted":           {home.SignIns{Accepted: home.NewSecret("u/old")}, false, "old", nil},
		"what was accepted, at floor": {home.SignIns{Accepted: home.NewSecret("u/old"), Left: left(1)}, false, "old", nil},
		"none within a day": {home.SignIns{
			Refused:     append(refused(hour(50), "new", "old"), refused(hour(23), "older")...),
			LastRefused: hour(23),
		}, false, "", failure.ErrMismatch},
		"one after a day": {home.SignIns{
			Refused:     append(refused(hour(24), "new", "older"), refused(hour(60), "old")...),
			LastRefused: hour(24),
		}, false, "old", nil},
		"one after a day, above the floor": {home.SignIns{
			Refused: refused(hour(30), "new", "old", "older"), LastRefused: hour(30), Left: left(tpap.Floor),
		}, false, "", home.ErrBudget},
		"none at the floor": {
			home.SignIns{Left: left(tpap.Floor), LastRefused: hour(100)}, false, "", home.ErrBudget,
		},
		"above the floor": {home.SignIns{Left: left(tpap.Floor + 1), LastRefused: now}, false, "new", nil},
		"at the floor, reset by its owner": {
			home.SignIns{Left: left(tpap.Floor), LastRefused: hour(23)}, true, "", home.ErrBudget,
		},
		"at the floor, set up anew a day ago": {home.SignIns{Left: left(0), LastRefused: hour(100)}, true, "new", nil},
	} {
		got, err := tpap.Chosen(c.kept, c.anew, passwords, now)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
}
