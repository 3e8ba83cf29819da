package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

// TestThePolicyInTheHelpIsTheDefault reads the help as its reader does: what it shows is a file that changes nothing, with every limit.
func TestThePolicyInTheHelpIsTheDefault(t *testing.T) {
	help := newAccountServe().Long
	file := help[strings.Index(help, "\n{")+1:]
	file = file[:strings.Index(file, "\n}")+2]
	p, err := account.ParsePolicy([]byte(file))
	ok(t, err)
	if p != account.DefaultPolicy() {
		t.Errorf("it says %+v, the default is %+v", p, account.DefaultPolicy())
	}
	var shown map[string]any
	ok(t, json.Unmarshal([]byte(file), &shown))
	_, err = account.ParsePolicy([]byte(`{"unknown": 1}`))
	_, all, found := strings.Cut(err.Error(), "there are ")
	if !found {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(all, ", ") {
		if _, ok := shown[name]; !ok && !strings.Contains(help, `"`+name+`"`) {
			t.Errorf("the help does not name %s", name)
		}
	}
}
