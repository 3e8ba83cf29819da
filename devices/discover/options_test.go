package discover_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, o := range []discover.Options{
		{Pace: discover.Pace{Window: -time.Second}},
		{Pace: discover.Pace{Quick: -1}},
		{Limit: -1},
		{Probes: []discover.Probe{nil}},
		{Targets: []discover.Target{{}}},
	} {
		if _, err := discover.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if _, err := discover.New(discover.Options{}); err != nil {
		t.Errorf("no options: %v", err)
	}
}
