package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// runs is how often each thing of the cloud section is measured; the tables show the median.
const runs = 3

// cloud measures what a reset costs at the cloud end, over the embedded broker and over mosquitto, beside paho alone.
func cloud(ctx context.Context, o options) ([]table, error) {
	t := table{
		title:   fmt.Sprintf("Cloud end: %s devices signed in again after a reset", thousands(o.devices)),
		columns: []string{"what", "time", "devices/s", "messages", "MB", "rekeyd's rate is", "aim"},
	}
	traffic, err := o.overEmbedded(ctx, &t)
	if err != nil {
		return nil, err
	}
	if err := o.overMosquitto(ctx, &t, traffic); err != nil {
		return nil, err
	}
	t.notef("rekeyd: account service, broker, link and store in one process, bbolt synced at both ends; from the request that sets the new password "+
		"(its argon2id hash included) to the last confirmation, every device observed by the store on the way. Each figure is the median of %d runs.", runs)
	t.notef("paho, same messages: two paho clients move as many messages of the same sizes in both directions over the same broker, QoS 1, %d on their "+
		"way at once, and do nothing else: no JSON, no signature, no proof, nothing on disk. paho, unbatched: one message a device and step, %d on their way at once.",
		linkWindow, looseWindow)
	return []table{t}, nil
}

// overEmbedded measures rekeyd, and paho alone, over the embedded broker. It returns what rekeyd's messages were.
func (o options) overEmbedded(ctx context.Context, t *table) (traffic, error) {
	tap := &tap{}
	r, err := newRig(ctx, o, tap)
	if err != nil {
		return traffic{}, err
	}
	defer r.close()
	times, err := r.resets(ctx, o, tap)
	if err != nil {
		return traffic{}, err
	}
	moved, err := tap.traffic(r.hub.Name)
	if err != nil {
		return traffic{}, err
	}
	alone, loose, err := baselines(ctx, o, "", moved)
	if err != nil {
		return traffic{}, err
	}
	o.rows(t, "embedded broker", times, moved, alone, loose)
	return moved, nil
}

// rows adds what was measured over one broker.
func (o options) rows(t *table, broker string, times []timing, moved traffic, alone, loose time.Duration) {
	med := median(times)
	rate := func(d time.Duration) string { return thousands(int(float64(o.devices) / d.Seconds())) }
	ratio := func(d time.Duration) string {
		return fmt.Sprintf("%.2f of this; signing in alone %.2f", d.Seconds()/med.all.Seconds(), d.Seconds()/med.signIn.Seconds())
	}
	single := oneByOne(o.devices)
	t.row("rekeyd, "+broker, ms(med.all), rate(med.all), thousands(moved.count()), megabytes(moved.bytes()), "")
	t.row("· until the epoch is on the hub's disk", ms(med.began), "", "", "", "")
	t.row("· until every device is observed, 16 at once", ms(med.observed), "", "", "", "")
	t.row("· with nothing to do but sign in", ms(med.signIn), rate(med.signIn), "", "", "")
	t.row("paho, same messages, "+broker, ms(alone), rate(alone), thousands(moved.count()), megabytes(moved.bytes()), ratio(alone),
		"0.5: "+verdict(2*alone >= med.all))
	t.row("paho, unbatched, "+broker, ms(loose), rate(loose), thousands(single.count()), megabytes(single.bytes()), ratio(loose))
}

// timing is one reset: from the request until the hub has the epoch, every device was observed, and all is confirmed; and how long a
// reset takes where the devices were observed before the link could begin.
type timing struct{ began, observed, all, signIn time.Duration }

func median(ts []timing) timing {
	by := func(of func(timing) time.Duration) time.Duration {
		var ds []time.Duration
		for _, t := range ts {
			ds = append(ds, of(t))
		}
		return middle(ds)
	}
	return timing{
		began: by(func(t timing) time.Duration { return t.began }), observed: by(func(t timing) time.Duration { return t.observed }),
		all: by(func(t timing) time.Duration { return t.all }), signIn: by(func(t timing) time.Duration { return t.signIn }),
	}
}

func middle(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

// resets measures runs resets, and before them one with the tap open.
func (r *rig) resets(ctx context.Context, o options, tap *tap) ([]timing, error) {
	if tap != nil { // in a run of its own: to keep what goes by costs time
		tap.open()
		_, err := r.reset(ctx, false)
		tap.close()
		if err != nil {
			return nil, err
		}
	}
	if o.profile != "" && tap != nil {
		f, err := os.Create(o.profile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r.profile = f
	}
	var ts []timing
	for range runs {
		t, err := r.reset(ctx, false)
		if err != nil {
			return nil, err
		}
		held, err := r.reset(ctx, true)
		if err != nil {
			return nil, err
		}
		t.signIn = held.signIn
		fmt.Fprintf(o.say, "  %+v; apart: %+v\n", t, held)
		ts = append(ts, t)
	}
	return ts, nil
}

// overMosquitto measures the same over mosquitto, where it is installed.
func (o options) overMosquitto(ctx context.Context, t *table, moved traffic) error {
	url, stop, err := startMosquitto(ctx, o.dir)
	if errors.Is(err, errMissing) {
		t.notef("Over mosquitto: not measured, %v.", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer stop()
	o2 := o
	o2.profile = ""
	r, err := newRigAt(ctx, o2, url)
	if err != nil {
		return err
	}
	times, err := r.resets(ctx, o2, nil)
	r.close()
	if err != nil {
		return err
	}
	alone, loose, err := baselines(ctx, o, url, moved)
	if err != nil {
		return err
	}
	o.rows(t, "mosquitto", times, moved, alone, loose)
	return nil
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

func megabytes(n int) string { return fmt.Sprintf("%.2f", float64(n)/1e6) }

// thousands writes a number so that it can be read: 10,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
