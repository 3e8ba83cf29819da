package home

// Turn is which hub acts for a device: an account can have several hubs, and one of them moves the device.
type Turn struct {
	Mine  bool   // this hub may begin to move it
	Hub   string // the other hub that moves it, for people; empty where none is known
	Epoch Epoch  // the newest epoch at which that hub has signed it in
}

// StandsBy reports whether another hub is still about to move the device to the newest epoch. A probe before that shows
// nothing new, and can cost the device a failed sign-in.
func (t Turn) StandsBy(newest Epoch) bool { return t.Hub != "" && t.Epoch < newest }

// Held is a device in the account service's list of an account with several hubs.
type Held struct {
	Device   DeviceID
	MAC      string    // twelve hexadecimal digits; empty where it is not known
	Rank     ProofRank // the strongest proof that a hub has recorded
	SignedIn Epoch     // the newest epoch at which its hub has signed it in
	Standing Standing
}

// Standing is the relation of this hub to a device of the list.
type Standing int

// The standings.
const (
	HeldHere    Standing = iota
	HeldByOther          // by a hub with a lease
	Orphaned             // its hub has lost its lease, or has left the account: this one may take it over
)
