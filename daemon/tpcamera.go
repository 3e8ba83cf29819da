package daemon

import (
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// tpCameraOnly reports whether a device is a camera of the NC class, which works with the tpCamera app only
// (cloudlink/account/FACTS.md, section 1). The protocol of such a camera is not known: where it is seen, its model
// is the only sign of it.
func tpCameraOnly(model string) bool {
	rest, nc := strings.CutPrefix(strings.ToUpper(model), "NC")
	return nc && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// mark adds the hint for a camera of the NC class. It leaves all others as they are.
func (r *Row) mark(name string) {
	if !tpCameraOnly(r.Model) {
		return
	}
	if r.Detail != "" {
		r.Detail += "; "
	}
	r.Detail += "cameras of its class work with the tpCamera app only"
	if r.Kind == home.Other || r.Kind == "" {
		r.Kind = home.Camera
	}
	if r.Verdict == home.Unsupported {
		r.Hint = fmt.Sprintf(
			"change the password of %s in the tpCamera app, because rekeyd does not speak its protocol", name)
	}
}
