package broker

import "testing"

func TestAFilterMatchesAsMQTTDefinesIt(t *testing.T) {
	for filter, topics := range map[string]map[string]bool{
		"a/+/c": {"a/b/c": true, "a//c": true, "a/b": false, "a/b/c/d": false, "x/b/c": false},
		"a/#":   {"a": true, "a/b": true, "a/b/c": true, "ab": false, "b": false},
		"#":     {"a": true, "a/b": true},
		"+":     {"a": true, "a/b": false},
		"+/+":   {"a/b": true, "a": false, "/a": true},
		"a/b":   {"a/b": true, "a": false, "a/bc": false},
		"a/+":   {"a/b": true, "a": false, "a/": true},
		"a/+/#": {"a/b": true, "a/b/c": true, "a": false},
	} {
		for topic, want := range topics {
			if got := matches(filter, topic); got != want {
				t.Errorf("%s and %s: %t, want %t", filter, topic, got, want)
			}
		}
	}
}
