package app

import (
	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/daemon"
)

// edges change the options of parts before these are made: a test replaces the network, and fails or stops the program
// at a write. The zero value changes nothing.
type edges struct {
	engine  func(*Hub, *daemon.Options)
	link    func(*cloudlink.Options)
	account func(*server.Options)
}
