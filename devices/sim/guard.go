package sim

import "time"

const (
	usualLocks = 10               // wrong sign-ins in a row that lock a camera: devices/PROTOCOLS.md, section 2.3
	lockTime   = 30 * time.Minute // what real ones take is not known
)

// guard counts wrong sign-ins, and locks. Its device's lock guards it.
type guard struct {
	limit int // after how many in a row it locks
	row   int // wrong ones since the last that was right
	wrong int // wrong ones in all
	locks int // how often it has locked
	until time.Time
}

func newGuard(s Spec) guard {
	g := guard{limit: s.Locks}
	if g.limit == 0 {
		g.limit = usualLocks
	}
	return g
}

// left is for how long it takes no sign-in, 0 when it does.
func (g *guard) left() time.Duration { return max(time.Until(g.until), 0) }

// fail counts a wrong sign-in.
func (g *guard) fail() {
	g.row++
	g.wrong++
	if g.row >= g.limit {
		g.row, g.until = 0, time.Now().Add(lockTime)
		g.locks++
	}
}

func (g *guard) pass() { g.row = 0 }

// SignIns returns how many wrong sign-ins the device has received, and how often it has locked because of them.
func (d *Device) SignIns() (wrong, locks int) {
	if g, ok := d.body.(interface{ signIns() (wrong, locks int) }); ok {
		return g.signIns()
	}
	return 0, 0
}
