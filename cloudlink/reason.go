package cloudlink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pin"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// down returns why the link does not work, empty when it does. It is the one place that decides. l.mu is held.
func (l *Link) down() string {
	switch {
	case l.trouble != "":
		return l.trouble
	case !l.online && l.conn != nil:
		return brokerTrouble(l.conn.Err())
	case !l.online:
		return brokerTrouble(nil)
	case l.answeredAt.IsZero() || l.misses > 1:
		return "the account service does not answer (if this state came from a backup, sign in again; if the service has " +
			"lost its state, see: rekeyd leave --help)"
	}
	return ""
}

// brokerTrouble describes why there is no connection to a broker.
func brokerTrouble(err error) string {
	const silent = "no broker answers"
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Sprintf("the broker's certificate is not trusted (%v): give its authority with --broker-ca FILE", untrusted.Err)
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return fmt.Sprintf("%s: %v", silent, dial)
	}
	switch {
	case err == nil:
		return silent
	case errors.Is(err, pin.ErrOther):
		return "the broker has another certificate than the one that this hub learned: run rekeyd login"
	case errors.Is(err, mqtt.ErrLost):
		return "the broker ended the connection"
	case errors.Is(err, home.ErrCredential):
		return refusedCredential
	}
	return fmt.Sprintf("%s: %v", silent, err)
}

const refusedCredential = "the broker refused this hub's credential"

// downPause is the least time between two lines in the history with the same reason.
const downPause = time.Hour

// recordDown writes to the history why the link is down, once an hour for each reason.
func (l *Link) recordDown() {
	up, why := l.State()
	now := time.Now()
	l.mu.Lock()
	last, known := l.recorded[why]
	again := up || known && now.Sub(last) < downPause
	if !again {
		l.recorded[why] = now
	}
	l.mu.Unlock()
	if again {
		return
	}
	if err := l.o.Store.Record(home.Event{At: now.UTC().Round(0), What: "link down", Detail: why}); err != nil {
		l.o.Log.Error("history not written", "err", err)
	}
}
