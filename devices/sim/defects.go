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
	Mute      Defect = "mute"      // obeys, and answers nothing
	Garbled   Defect = "garbled"   // obeys, and its answers cannot be decoded
	Impostor  Defect = "impostor"  // states another identity than the one announced
	Curt      Defect = "curt"      // closes every connection after one answer, as some real ones do
	Busy      Defect = "busy"      // answers each command with "another command is running", once
	Faint     Defect = "faint"     // its connection breaks after each unbind
	Stubborn  Defect = "stubborn"  // refuses every password but its first one
	Forgetful Defect = "forgetful" // confirms a password, and stays unbound
	Boastful  Defect = "boastful"  // states that it is bound although it could not try the password
	Offline   Defect = "offline"   // cannot reach its cloud
)

// The defects of devices that one signs in to.
const (
	Flapping      Defect = "flapping"        // holds the factory credential at every second sign-in
	Reverting     Defect = "reverting"       // restores the credential of its cloud at the third sign-in after a change
	ThirdPartyOff Defect = "third-party-off" // Third-Party Compatibility is off
	MD5           Defect = "md5"             // firmware that hashes passwords with MD5
	Hashed        Defect = "hashed"          // firmware that knows only the older sign-in, with a hash
	PEMKey        Defect = "pem-key"         // camera firmware that gives its key as PEM, as a C101 and a C460
	DERKey        Defect = "der-key"         // camera firmware that gives its key as base64 of the DER, as clients expect
	OneRequest    Defect = "one-request"     // firmware that ends the session after each request
	Bare          Defect = "bare"            // firmware that does not list the components of an account change
	Lv1           Defect = "lv1"             // firmware that expects the password, not its hash
	Coarse        Defect = "coarse"          // counts a sign-in in the other form as a wrong one
	Updated       Defect = "updated"         // its firmware speaks another protocol by now
)

// The defects of NC cameras.
const (
	Refused  Defect = "refused"  // its cloud refuses the password that it was set up with
	Clinging Defect = "clinging" // wants to be unbound before it takes another password
)

// The defects of devices that speak TPAP.
const (
	Crypt     Defect = "crypt"     // firmware that names sha256-crypt, as that of a C200
	Unhashed  Defect = "unhashed"  // firmware that takes address and password themselves
	Reticent  Defect = "reticent"  // firmware that does not answer who it is, as that of a C510W
	Restless  Defect = "restless"  // refuses sign-ins for two seconds after a session, as a C200 does
	Faithless Defect = "faithless" // cannot prove that it knows the password that it takes
	Suite2    Defect = "suite2"    // answers in a suite that was not asked for
)

// iotDefects are those of the iot protocol.
func iotDefects() []Defect {
	return []Defect{Mute, Garbled, Impostor, Curt, Busy, Faint, Stubborn, Forgetful, Boastful, Offline}
}

// checkDefects returns an error for the first defect that is not among known.
func checkDefects(all, known []Defect) error {
	for _, d := range all {
		if !slices.Contains(known, d) {
			return fmt.Errorf("field %q: %q: want any of %s", "defects", d, strings.Trim(fmt.Sprint(known), "[]"))
		}
	}
	return nil
}

func (s Spec) has(d Defect) bool { return slices.Contains(s.Defects, d) }
