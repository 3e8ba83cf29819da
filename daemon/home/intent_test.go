package home_test

import (
	"fmt"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAnIntentOrdersTheCandidates(t *testing.T) {
	cs := []home.Credential{{Epoch: 9}, {Epoch: 8}, {Epoch: 7}, {Epoch: 6}, {Epoch: 5}, {}}
	for _, c := range []struct {
		holds []home.Epoch
		want  string
	}{
		{nil, "[9 8 7 6 5 0]"},
		{[]home.Epoch{5, 7}, "[9 7 5 8 6 0]"},
		{[]home.Epoch{9}, "[9 8 7 6 5 0]"},
		{[]home.Epoch{1, 6, 9}, "[9 6 8 7 5 0]"},
	} {
		var got []home.Epoch
		for _, cr := range (home.Intent{Holds: c.holds}).Order(cs) {
			got = append(got, cr.Epoch)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("holding %v: %v, want %s", c.holds, got, c.want)
		}
	}
	if got := (home.Intent{}).Order(nil); len(got) != 0 {
		t.Errorf("of no credentials: %v", got)
	}
}
