package home

import (
	"errors"
	"time"
)

// Sentinels: each decides what the program does next.
var (
	ErrOldEpoch    = errors.New("older than what is known")                 // drop it, record it
	ErrNoEpoch     = errors.New("there is no further epoch")                // stop
	ErrNotFound    = errors.New("not found")                                // inform the person
	ErrNoAccount   = errors.New("this hub is not signed in to an account")  // ask the owner to log in
	ErrUnreachable = errors.New("no answer")                                // wait until the device is next seen
	ErrSlow        = errors.New("it answers too slowly")                    // likewise
	ErrRefused     = errors.New("device refused the new credential")        // probe, try later
	ErrNotOpened   = errors.New("device did not accept the old credential") // probe again
	ErrBusy        = errors.New("device is busy")                           // again in a second
	ErrOffline     = errors.New("device cannot reach its cloud")            // pending, ask again later
	ErrBudget      = errors.New("enough sign-ins were tried for now")       // wait: a lock-out is avoided
	ErrForeign     = errors.New("device belongs to another account")        // leave it alone
	ErrForged      = errors.New("signature or proof does not hold")         // drop it, record it
	ErrReplayed    = errors.New("message was seen before")                  // drop it
	ErrCredential  = errors.New("wrong e-mail address or password")         // ask again
	ErrCode        = errors.New("a code was sent by e-mail")                // ask for it
	ErrLocked      = errors.New("in use by another process")                // stop
	ErrCorrupt     = errors.New("file is damaged")                          // stop, leave the file alone
	ErrNewer       = errors.New("file was written by a newer version")      // stop, leave the file alone
	ErrNewKey      = errors.New("vault key does not open the vault")        // stop, leave the file alone
	ErrUnavailable = errors.New("cannot be reached now")                    // again later
)

// WaitError is ErrBudget with the time at which the next sign-in may be sent.
type WaitError struct {
	Until  time.Time // zero for not before an order that names the device
	Reason string    // for people
}

func (e WaitError) Error() string { return ErrBudget.Error() + ": " + e.Reason }

// Is makes a WaitError an ErrBudget.
func (e WaitError) Is(target error) bool { return target == ErrBudget }

// Verdict returns the verdict of a device that waits.
func (e WaitError) Verdict() Verdict {
	if e.Until.IsZero() {
		return Verdict{State: Refusing, Detail: e.Reason}
	}
	return Verdict{State: Waiting, Until: e.Until.UTC().Round(time.Second), Detail: e.Reason}
}

// Error is an error with its operation, its device, and advice for a person.
type Error struct {
	Op     string   // the operation, as a verb: "rekey", "open store"
	Device DeviceID // may be empty
	Err    error
	Hint   string // one sentence in the imperative; may be empty
}

// Error returns operation, device and cause, and not the hint.
func (e *Error) Error() string {
	s := e.Op
	if e.Device != "" {
		s += " " + string(e.Device)
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// HintOf returns the hint nearest to the surface of err, or nothing.
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// codes name the sentinels where an error travels as text, as between the daemon and its command line. Of several in
// one error the first here counts.
var codes = []struct {
	code string
	err  error
}{
	{"locked", ErrLocked},
	{"corrupt", ErrCorrupt},
	{"newer", ErrNewer},
	{"new-key", ErrNewKey},
	{"no-account", ErrNoAccount},
	{"credential", ErrCredential},
	{"code", ErrCode},
	{"not-found", ErrNotFound},
	{"foreign", ErrForeign},
	{"forged", ErrForged},
	{"replayed", ErrReplayed},
	{"old-epoch", ErrOldEpoch},
	{"no-epoch", ErrNoEpoch},
	{"refused", ErrRefused},
	{"not-opened", ErrNotOpened},
	{"busy", ErrBusy},
	{"budget", ErrBudget},
	{"offline", ErrOffline},
	{"unreachable", ErrUnreachable},
	{"slow", ErrSlow},
	{"unavailable", ErrUnavailable},
}

// ErrorCode returns the name of the sentinel in err, or nothing.
func ErrorCode(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return ""
}

// ErrorOf returns the sentinel that a code names, or nil.
func ErrorOf(code string) error {
	for _, c := range codes {
		if c.code == code {
			return c.err
		}
	}
	return nil
}

// Trouble is a condition of this machine or its network that stops a part of the work until a person changes it.
// Status, page and log show it.
type Trouble struct {
	What string `json:"what"`           // the condition, a sentence without its full stop
	Hint string `json:"hint,omitempty"` // one sentence in the imperative
}

// TroubleOf returns err as a Trouble.
func TroubleOf(err error) Trouble { return Trouble{What: err.Error(), Hint: HintOf(err)} }
