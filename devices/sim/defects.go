package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Defect is a way in which a device misbehaves, for those who want to see what their program makes of it. Which of them
// a device can have is its protocol's.
type Defect string

// The defects of iot devices.
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
	Offline   Defect = "offline"   // cannot reach its cloud
)

// The defects of devices that one signs in to.
const (
	Flapping      Defect = "flapping"        // holds the factory's credential instead of its own at every second sign-in
	Reverting     Defect = "reverting"       // has what its cloud knows again a while after it was given something else: at the third sign-in
	ThirdPartyOff Defect = "third-party-off" // its app lets no other program in
	MD5           Defect = "md5"             // firmware that hashes passwords with MD5
	Hashed        Defect = "hashed"          // firmware that knows only the login that was before the one with a challenge
	OneRequest    Defect = "one-request"     // firmware that ends the session after each request
	Bare          Defect = "bare"            // firmware that does not list what a change of the account needs
	Lv1           Defect = "lv1"             // firmware that is told the password itself, and not its hash
	Coarse        Defect = "coarse"          // takes a sign-in in the form that it does not know for a wrong one, and counts it
	Updated       Defect = "updated"         // its firmware speaks another protocol since
)

// The defects of devices that speak TPAP.
const (
	Crypt     Defect = "crypt"     // firmware that names sha256-crypt, as that of a C200
	Unhashed  Defect = "unhashed"  // firmware that takes address and password themselves
	Reticent  Defect = "reticent"  // firmware that does not answer who it is, as that of a C510W
	Restless  Defect = "restless"  // takes no sign-in for two seconds after a session, and counts it as wrong, as a C200 does
	Faithless Defect = "faithless" // cannot prove that it knows the password that it takes
	Suite2    Defect = "suite2"    // answers in a suite that was not asked for
)

// iotDefects are those of the iot protocol.
func iotDefects() []Defect {
	return []Defect{Mute, Garbled, Impostor, Curt, Busy, Faint, Stubborn, Forgetful, Boastful, Offline}
}

// checkDefects tells of the first defect that is not among known.
func checkDefects(all, known []Defect) error {
	for _, d := range all {
		if !slices.Contains(known, d) {
			return fmt.Errorf("field %q: %q: want any of %s", "defects", d, strings.Trim(fmt.Sprint(known), "[]"))
		}
	}
	return nil
}

func (s Spec) has(d Defect) bool { return slices.Contains(s.Defects, d) }
