package home_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAMisspelledWordLeadsToTheNearest(t *testing.T) {
	known := []string{"front door", "hall", "ball", "living room lamp", "лампа", "tv"}
	for word, want := range map[string]string{
		"frnot door": "front door", "Front Dor": "front door", "living roomlamp": "living room lamp", "лмапа": "лампа",
		"hal": "hall", "Tv": "tv", "t": "tv", "toaster": "", "": "", "garden camera": "",
	} {
		if got := home.Similar(word, known); got != want {
			t.Errorf("Similar(%q) = %q, want %q", word, got, want)
		}
	}
}
