package discover

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options are the interfaces, the probes and the pace. The zero value looks on every multicast interface that is up,
// loopback left out.
type Options struct {
	Interfaces Interfaces // listed again every Pace.Poll
	Probes     []Probe    // asked beside mDNS; nil means those of Kasa and of Tapo devices, an empty slice none
	Targets    []Target   // where devices are that no broadcast reaches
	Recognise  Recognise  // of NC cameras at addresses where one may be; they are not looked for where it is nil
	Pace       Pace
	Limit      int // service instances kept, and probed devices; default 4096. What comes beyond is dropped and counted
	// House reports whether one of the keys is that of a bound device, whose announcements and replies pass full
	// tables. It may be nil.
	House func(keys []string) bool
	Log   *slog.Logger
}

// Pace is how often to look. Zero fields take their defaults. Times between sweeps are jittered by a tenth.
type Pace struct {
	Window time.Duration // how long a sweep listens for one service type; default 5 s
	First  time.Duration // from one of the first sweeps to the next; default 15 s
	Quick  int           // how many sweeps are the first ones, at start and after an interface came or went; default 4
	Then   time.Duration // between later sweeps; default 1 minute
	Poll   time.Duration // how often the interfaces are looked at; default 10 s
}

const defaultLimit = 4096

// complete checks o, all of it, and fills in the defaults.
func (o Options) complete() (Options, error) {
	var errs []error
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Probes == nil {
		o.Probes = append([]Probe{Kasa()}, Tapo()...)
	}
	for _, p := range o.Probes {
		if p == nil || p.Port() == 0 || len(p.Datagrams()) == 0 {
			errs = append(errs, errors.New("a probe without port or datagram"))
		}
	}
	errs = append(errs, checkTargets(o.Targets))
	if o.Limit < 0 || o.Pace.Quick < 0 {
		errs = append(errs, errors.New("a limit or a count below zero"))
	}
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if o.Pace.Quick == 0 {
		o.Pace.Quick = 4
	}
	for _, d := range []struct {
		at   *time.Duration
		want time.Duration
	}{
		{&o.Pace.Window, 5 * time.Second},
		{&o.Pace.First, 15 * time.Second},
		{&o.Pace.Then, time.Minute},
		{&o.Pace.Poll, 10 * time.Second},
	} {
		switch {
		case *d.at < 0:
			errs = append(errs, fmt.Errorf("pace %s: below zero", *d.at))
		case *d.at == 0:
			*d.at = d.want
		}
	}
	return o, errors.Join(errs...)
}
