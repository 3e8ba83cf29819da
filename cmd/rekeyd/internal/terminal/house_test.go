package terminal

import (
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// house has a device in each group, with the names that strangers may choose.
func house() []daemon.Row {
	return []daemon.Row{
		{ID: "mac-1", Name: "玄関のカメラと廊下の電球", Bound: true, Verdict: home.Current, Epoch: 4},
		{ID: "mac-2", Name: "hall", Bound: true, Verdict: home.Stale, Epoch: 3, Kind: home.Plug},
		{
			ID: "mac-3", Name: "\x1b[2Jfront\u202e door", Bound: true, Verdict: home.Mismatch, Kind: home.Camera,
			Hint: strings.Repeat("change its password in its own app, ", 6) + "with: rekeyd import",
		},
		{ID: "mac-4", Name: strings.Repeat("x", 200), Verdict: home.Current, Proved: true},
		{ID: "mac-5", Verdict: home.ForeignHeld},
	}
}

// TestAListOfDevicesFitsTheScreen draws the same house at several widths.
func TestAListOfDevicesFitsTheScreen(t *testing.T) {
	for _, width := range []int{40, 60, 80, 120, 200} {
		for _, wide := range []bool{false, true} {
			var b strings.Builder
			if err := PrintHouse(&b, Screen{Width: width, Height: 24}, house(), wide && width >= 120); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if line = strings.TrimSuffix(line, "\n"); Width(line) > width || strings.ContainsAny(line, "\x1b\u202e") {
					t.Errorf("at %d columns: %q takes %d", width, line, Width(line))
				}
			}
			flat := strings.Join(strings.Fields(b.String()), " ")
			for _, want := range []string{
				"Need you (1)", "Kept (2)", "Others (2)", "hall", "(3)", "rekeyd import", "▲", "◐", "●", "○",
			} {
				if !strings.Contains(flat, want) {
					t.Errorf("at %d columns %q is missing:\n%s", width, want, b.String())
				}
			}
		}
	}
}

// TestAListOfDevicesForProgramsHasALineForEach reads the list without a screen.
func TestAListOfDevicesForProgramsHasALineForEach(t *testing.T) {
	var b strings.Builder
	if err := PrintHouse(&b, Screen{}, house(), true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 1+3+5 || strings.ContainsAny(b.String(), "\x1b\u202e▲◐●○") {
		t.Fatalf("%d lines:\n%s", len(lines), b.String())
	}
	if !strings.Contains(lines[2], "[2Jfront door") || !strings.Contains(lines[2], "mac-3") ||
		!strings.HasSuffix(lines[2], "with: rekeyd import") {
		t.Errorf("the device that needs its owner: %q", lines[2])
	}
	if got := Offer(house()); got != "1 more is yours: rekeyd bind --all" {
		t.Errorf("the offer is %q", got)
	}
	if got := Sentence(daemon.Status{Devices: house()}); got != "1 of 3 devices moved, 1 needs you." {
		t.Errorf("the sentence is %q", got)
	}
	if got := Sentence(daemon.Status{Devices: house(), Ended: true}); got != texts().House.Ended || got == "" {
		t.Errorf("once the vendor's cloud refuses the sign-in, the sentence is %q", got)
	}
}

// emulate returns the text that is on a terminal after these bytes: of the control functions it knows those that
// Area and Progress send.
func emulate(t *testing.T, out string, height int) []string {
	t.Helper()
	screen, row, scrolled := []string{""}, 0, 0
	for out != "" {
		switch {
		case strings.HasPrefix(out, "\x1b["):
			end := strings.IndexAny(out, "AJKm")
			n := 0
			for _, r := range out[2:end] {
				n = 10*n + int(r-'0')
			}
			switch out[end] {
			case 'A':
				if row -= n; row < scrolled {
					t.Fatalf("the cursor moves %d lines above the screen", scrolled-row)
				}
			case 'J':
				screen = append(screen[:row], "")
			case 'K':
				screen[row] = ""
			}
			out = out[end+1:]
			continue
		case out[0] == '\n':
			if row++; row == len(screen) {
				screen = append(screen, "")
			}
			scrolled = max(scrolled, row-height+1)
		case out[0] != '\r':
			screen[row] += out[:1]
		}
		out = out[1:]
	}
	return screen
}

// TestAnAreaIsDrawnOverWhateverItsLength draws areas that are longer and shorter than the screen.
func TestAnAreaIsDrawnOverWhateverItsLength(t *testing.T) {
	for _, height := range []int{5, 24, 60} {
		var b strings.Builder
		b.WriteString("before\n")
		a := Area{W: &b}
		for _, n := range []int{3, 40, 100, 1, 22} {
			a.Draw(Screen{Width: 80, Height: height}, strings.Repeat("line\n", n), "bar")
		}
		shown := emulate(t, b.String(), height)
		if shown[0] != "before" || shown[len(shown)-2] != "bar" || strings.Count(strings.Join(shown, "\n"), "bar") != 1 {
			t.Errorf("on %d lines: %q", height, shown)
		}
		a.Erase()
		if shown := emulate(t, b.String(), height); len(shown) != 2 || shown[0] != "before" {
			t.Errorf("on %d lines, erased: %q", height, shown)
		}
	}
}

func TestABarFitsItsWidth(t *testing.T) {
	for _, c := range []struct {
		n, of, width int
		want         string
	}{
		{0, 10, 79, "looking [" + strings.Repeat(" ", 40) + "] 0 of 10"},
		{5, 10, 79, "looking [" + strings.Repeat("=", 20) + strings.Repeat(" ", 20) + "] 5 of 10"},
		{12, 10, 79, "looking [" + strings.Repeat("=", 40) + "] 12 of 10"},
		{0, 0, 30, "looking [===============] 0 of 0"[:9] + strings.Repeat("=", 13) + "] 0 of 0"},
		{7, 10, 20, "looking 7 of 10"},
		{7, 10, 10, "looking 7…"},
	} {
		if got := Bar("looking", c.n, c.of, c.width); got != c.want || Width(got) > c.width {
			t.Errorf("Bar(%d, %d, %d) = %q, want %q", c.n, c.of, c.width, got, c.want)
		}
	}
}
