package account_test

import (
	"fmt"
	"net/http"
	"testing"
)

func TestTheNoticeStatesWhetherTheOldPasswordIsExposed(t *testing.T) {
	c := open(t, nil)
	_, hub, _ := c.enrolled()
	pw := password
	for i, x := range []struct {
		method string
		params p
		want   bool
	}{
		{"resetPassword", p{}, false},
		{"resetPassword", p{"exposed": true}, true},
		{"resetPassword", p{"exposed": false}, false},
		{"modifyCloudPassword", p{}, false}, // the vendor's apps do not ask
		{"modifyCloudPassword", p{"exposed": true}, true},
		{"modifyCloudPassword", p{"exposed": false}, false},
	} {
		old := pw
		pw = fmt.Sprintf("another-Horse-%d", i)
		if x.method == "resetPassword" {
			x.params["token"], x.params["newPassword"] = c.forgot("web"), pw
		} else {
			x.params["cloudUserName"], x.params["oldCloudPassword"], x.params["newCloudPassword"] = email, old, pw
		}
		if code := c.call("", x.method, x.params, nil); code != 0 {
			t.Fatalf("%s %d: %d", x.method, i, code)
		}
		if _, w := hub.hello(1); w.Notice.Epoch != uint64(i+2) || w.Notice.Exposed != x.want {
			t.Errorf("%s %d: %+v, want exposed %v", x.method, i, w.Notice, x.want)
		}
	}
}

func TestAPasswordIsAlwaysExposedAfterThisWasNotMe(t *testing.T) {
	c := open(t, nil)
	_, hub, _ := c.enrolled()
	change := p{"cloudUserName": email, "oldCloudPassword": password, "newCloudPassword": second, "exposed": false}
	if code := c.call("", "modifyCloudPassword", change, nil); code != 0 {
		t.Fatal(code)
	}
	if code := c.notMe(c.mailed("Your password was changed", 1)[0]); code != http.StatusOK {
		t.Fatal(code)
	}
	params := p{
		"token": tokenIn.FindStringSubmatch(c.last("/reset").Text)[1], "newPassword": "third-Horse-Battery", "exposed": false,
	}
	if code := c.call("", "resetPassword", params, nil); code != 0 {
		t.Fatal(code)
	}
	if _, w := hub.hello(1); w.Notice.Epoch != 3 || !w.Notice.Exposed {
		t.Errorf("%+v, want epoch 3, exposed", w.Notice)
	}
}
