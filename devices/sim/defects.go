package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Defect is a way in which an iot device misbehaves, for those who want to see what their program makes of it.
type Defect string

// The defects.
const (
	Mute      Defect = "mute"      // does what it is told, and says nothing
	Garbled   Defect = "garbled"   // does what it is told, and says what nobody can read
	Impostor  Defect = "impostor"  // says that it is another device than the one that is announced
	Curt      Defect = "curt"      // ends every connection after one answer, as some real ones do
	Busy      Defect = "busy"      // runs another command whenever it is told one, until it is told again
	Faint     Defect = "faint"     // its connection breaks whenever it has been taken from its account
	Stubborn  Defect = "stubborn"  // takes no password but the one that it had first
	Forgetful Defect = "forgetful" // takes a password, says so, and is bound to nobody
	Boastful  Defect = "boastful"  // says that it is bound when it could not try what it was given
)

func defects() []Defect {
	return []Defect{Mute, Garbled, Impostor, Curt, Busy, Faint, Stubborn, Forgetful, Boastful}
}

func checkDefects(all []Defect) error {
	for _, d := range all {
		if known := defects(); !slices.Contains(known, d) {
			return fmt.Errorf("field %q: %q: want any of %s", "defects", d, strings.Trim(fmt.Sprint(known), "[]"))
		}
	}
	return nil
}

func (s Spec) has(d Defect) bool { return slices.Contains(s.Defects, d) }
