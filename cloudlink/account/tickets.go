package account

import (
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// ticket lets the browser that has just reset a password show the progress of the devices, and nothing else: a reset is
// no sign-in. The service keeps no ticket, so every instance can check one.
type ticket struct {
	account string
	epoch   uint64
	until   int64 // Unix seconds
}

const ticketLife = time.Hour

// word returns the ticket as a browser keeps it.
func (t ticket) word(id *wire.Identity) string {
	text := fmt.Sprintf("%s.%d.%d", t.account, t.epoch, t.until)
	return text + "." + base64.RawURLEncoding.EncodeToString(id.MAC("ticket", text))
}

// readTicket returns the ticket of a word; ok is false for one that this service has not made, or that is too old.
func (s *Service) readTicket(word string) (t ticket, ok bool) {
	parts := strings.Split(word, ".")
	if len(parts) != 4 || len(word) > 256 {
		return t, false
	}
	t.account = parts[0]
	t.epoch, _ = strconv.ParseUint(parts[1], 10, 64) // another number is another ticket
	t.until, _ = strconv.ParseInt(parts[2], 10, 64)
	return t, hmac.Equal([]byte(word), []byte(t.word(s.id))) && !s.ended(t)
}

// ended reports whether a ticket is too old, or was made while the clock was ahead.
func (s *Service) ended(t ticket) bool {
	left := time.Unix(t.until, 0).Sub(s.Now())
	return left < 0 || left > ticketLife+clockSkew
}

// clockSkew is how far the clocks of two instances of the service may be apart.
const clockSkew = time.Minute
