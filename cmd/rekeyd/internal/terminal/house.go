package terminal

import (
	"cmp"
	"fmt"
	"io"
	"strconv"

	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// texts are those of the pages: page and terminal call a thing by one name.
var texts = language.English

// Acting names another hub that moves devices of this house.
func Acting(hub string, devices int) string { return texts().House.StandsBy(Printable(hub), devices) }

// Sentence answers the first question of an owner, as the page of the house does.
func Sentence(s daemon.Status) string {
	if s.Ended {
		return texts().House.Ended
	}
	n := daemon.Summarize(s.Devices)
	return texts().House.Sentence(n.Need, n.Moving, n.Kept, n.Others)
}

// Offer is the sentence on devices that are not bound and proved a password of the account; empty for none.
func Offer(rows []daemon.Row) string {
	switch n := daemon.Summarize(rows).Ours; n {
	case 0:
		return ""
	case 1:
		return "1 more is yours: rekeyd bind --all"
	default:
		return fmt.Sprintf("%d more are yours: rekeyd bind --all", n)
	}
}

// State is the verdict on a device in words, with the number of an older password.
func State(r daemon.Row) string {
	state := cmp.Or(texts().Site.Verdicts[string(r.Verdict)], string(r.Verdict))
	if r.Epoch != 0 && r.Verdict != home.Current {
		state += " (" + strconv.FormatUint(uint64(r.Epoch), 10) + ")"
	}
	if r.Left {
		state += ", gone"
	}
	return state
}

// PrintHouse prints devices in the groups of the page. With wide, each has its ID, kind, protocol, owner and address,
// too.
func PrintHouse(w io.Writer, s Screen, rows []daemon.Row, wide bool) error {
	var groups [daemon.Others + 1][]daemon.Row
	for _, r := range rows {
		groups[r.Group()] = append(groups[r.Group()], r)
	}
	t := Table{Headers: []string{"NAME", "STATE", "BOUND", "WHAT TO DO"}}
	if wide {
		t.Headers = []string{"NAME", "STATE", "BOUND", "DEVICE", "KIND", "PROTOCOL", "WHOSE", "ADDRESS", "WHAT TO DO"}
	}
	house := texts().House
	for _, g := range []struct {
		heading string
		rows    []daemon.Row
	}{
		{house.NeedYou, groups[daemon.NeedsYou]},
		{house.KeptGroup, append(groups[daemon.Moving], groups[daemon.Kept]...)},
		{house.Others, groups[daemon.Others]},
	} {
		if len(g.rows) == 0 {
			continue
		}
		t.Lines = append(t.Lines, Line{Heading: fmt.Sprintf("%s (%d)", g.heading, len(g.rows))})
		for _, r := range g.rows {
			t.Lines = append(t.Lines, lineOf(r, wide))
		}
	}
	if len(t.Lines) == 0 {
		return nil
	}
	return t.Print(w, s)
}

// lineOf returns the line of a device.
func lineOf(r daemon.Row, wide bool) Line {
	bound := "no"
	if r.Bound {
		bound = "yes"
	}
	cells := []string{r.Label(), State(r), bound}
	if wide {
		cells = append(cells, string(r.ID), string(r.Kind), string(r.Protocol), string(r.Match), r.Addr)
	}
	l := Line{Cells: append(cells, note(r))}
	l.Mark, l.Style = mark(r)
	return l
}

// Summary is a device in one line: its name, its state and the next step of its owner.
func Summary(r daemon.Row) string {
	text := r.Label() + "  " + State(r)
	if hint := note(r); hint != "" {
		text += "  " + plain(hint)
	}
	return text
}

// note is the advice for a device, or the reason for its state where rekeyd needs no person.
func note(r daemon.Row) string {
	held := ""
	if r.Held {
		held = texts().House.Held
	}
	return cmp.Or(r.Hint, held, r.Detail)
}

// mark is the shape and the colour of a device's group, those of the page.
func mark(r daemon.Row) (string, Style) {
	switch r.Group() {
	case daemon.NeedsYou:
		return "▲", Yellow
	case daemon.Moving:
		return "◐", Blue
	case daemon.Kept:
		return "●", Green
	}
	return "○", Faint
}
