package account

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// TestEveryLimitHasItsRange tries the ends of each limit's range, and one past them, in a file.
func TestEveryLimitHasItsRange(t *testing.T) {
	names := map[string]bool{}
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Policy]()) {
		name := f.Tag.Get("json")
		if name == "" || names[name] {
			t.Errorf("%s has the name %q", f.Name, name)
		}
		names[name] = true
		if f.Type.Kind() == reflect.Bool {
			continue
		}
		lower := "file"
		if f.Tag.Get(lower) == "" {
			lower = "from"
		}
		low, high := parse(f, f.Tag.Get(lower)), parse(f, f.Tag.Get("to"))
		if low >= high {
			t.Errorf("%s: %d to %d", f.Name, low, high)
		}
		for n, good := range map[int64]bool{low - 1: false, low: true, high: true, high + 1: false} {
			value := fmt.Sprint(n)
			if f.Type == reflect.TypeFor[time.Duration]() {
				value = fmt.Sprintf("%q", time.Duration(n))
			}
			p, err := ParsePolicy(fmt.Appendf(nil, "{%q: %s}", name, value))
			if good != (err == nil) {
				t.Errorf("%s %s: %v", name, value, err)
			} else if good && number(reflect.ValueOf(p).Field(i)) != n {
				t.Errorf("%s %s: it is %v", name, value, reflect.ValueOf(p).Field(i))
			}
		}
	}
	if err := DefaultPolicy().within("file"); err != nil {
		t.Error(err)
	}
}
