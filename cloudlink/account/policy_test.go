package account

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestEveryLimitOfThePolicyIsInTheFile counts: a field that is added needs a name and a range.
func TestEveryLimitOfThePolicyIsInTheFile(t *testing.T) {
	var p Policy
	names, fields := map[string]bool{}, map[any]bool{}
	for _, k := range p.knobs() {
		names[k.name], fields[k.field] = true, true
	}
	if n := reflect.TypeFor[Policy]().NumField(); len(names) != n || len(fields) != n {
		t.Errorf("the policy has %d fields; a file sets %d of them by %d names", n, len(fields), len(names))
	}
}

// TestAPolicyFileSetsEachLimitWithinItsBounds tries both ends of every range, and one past them.
func TestAPolicyFileSetsEachLimitWithinItsBounds(t *testing.T) {
	var names Policy
	for i, k := range names.knobs() {
		if _, ok := k.field.(*bool); ok {
			continue
		}
		write := func(n int64) string {
			if _, ok := k.field.(*time.Duration); ok {
				return fmt.Sprintf("%q", time.Duration(n))
			}
			return fmt.Sprint(n)
		}
		for _, n := range []int64{k.low - 1, k.low, k.high, k.high + 1} {
			with := ""
			switch k.name { // the two go together
			case "password_min":
				with = `, "password_max": 32`
			case "password_max":
				with = `, "password_min": 6`
			}
			file := fmt.Sprintf(`{%q: %s%s}`, k.name, write(n), with)
			p, err := ParsePolicy([]byte(file))
			if good := n >= k.low && n <= k.high; good != (err == nil) {
				t.Errorf("%s: %v", file, err)
			} else if good && p.knobs()[i].value() != n {
				t.Errorf("%s: it is %s", file, k.said(p.knobs()[i].value()))
			} else if !good && !strings.Contains(err.Error(), "policy: "+k.name+": "+k.said(n)+" is not within "+k.said(k.low)+" to "+k.said(k.high)) {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	for _, p := range []Policy{DefaultPolicy(), VendorPolicy()} {
		for _, k := range p.knobs() {
			if n := k.value(); n < k.low || n > k.high {
				t.Errorf("%s is %s by default", k.name, k.said(n))
			}
		}
	}
}
