package daemon

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestDevicesAreListedAsPeopleSortNames shuffles a list and sorts it.
func TestDevicesAreListedAsPeopleSortNames(t *testing.T) {
	want := []string{"", "2 plugs", "Hall", "hall 1", "hall 02", "Hall 10", "hall 10 b", "Lamp", "lampe", "лампа 9", "лампа 12"}
	var rows []Row
	for i, name := range want {
		id := home.DeviceID("x" + string(rune('a'+i)))
		if name == "" {
			id = "1" // it is listed by its ID
		}
		rows = append(rows, Row{ID: id, Name: name})
	}
	for range 100 {
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		sortRows(rows)
		var got []string
		for _, r := range rows {
			got = append(got, r.Name)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("sorted: %q", got)
		}
	}
}
