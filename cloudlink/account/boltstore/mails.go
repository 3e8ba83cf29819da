package boltstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// mailKey orders mails by the time when they are due.
func mailKey(due time.Time, n uint64) []byte {
	return append(boltfile.Key(uint64(ms(due))), boltfile.Key(n)...)
}

// WaitingMails returns how many mails wait.
func (s *Store) WaitingMails() (int, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (int, error) { return waiting(tx), nil })
}

func waiting(tx *bbolt.Tx) int { return int(boltfile.Number(tx.Bucket(bktService).Get(mailsKey))) }

// queue queues a mail in the transaction of the change that it reports. The zero Mail is none.
func (s *Store) queue(tx *bbolt.Tx, m mail.Mail) error {
	if m.To == "" {
		return nil
	}
	n, err := tx.Bucket(bktMail).NextSequence()
	if err != nil {
		return err
	}
	m.ID = fmt.Sprintf("%d.%d", n, m.At.UnixNano())
	return errors.Join(s.putMail(tx, mail.Queued{Mail: m, Number: n, Due: m.At}),
		tx.Bucket(bktService).Put(mailsKey, boltfile.Key(uint64(waiting(tx)+1))))
}

func (s *Store) putMail(tx *bbolt.Tx, q mail.Queued) error {
	raw, err := json.Marshal(mailRecord{
		Mail: letterRecord{
			ID: q.ID, Account: q.Account, To: q.To, Lang: q.Lang, Subject: q.Subject, Text: q.Text, HTML: q.HTML,
			At: q.At.Format(time.RFC3339Nano), Expires: q.Expires.Format(time.RFC3339Nano),
		},
		Tries: q.Tries,
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bktMail).Put(mailKey(q.Due, q.Number), s.key.Seal(raw, mailPlace(q.Number)))
}

func mailPlace(n uint64) string { return fmt.Sprintf("mail/%d", n) }

func (s *Store) openMail(key, box []byte) (mail.Queued, error) {
	q := mail.Queued{Number: boltfile.Number(key[8:]), Due: at(int64(boltfile.Number(key[:8])))}
	raw, err := s.key.Open(box, mailPlace(q.Number))
	if err != nil {
		return q, err
	}
	var r mailRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return q, fmt.Errorf("mail: %w", home.ErrCorrupt)
	}
	q.Tries = r.Tries
	q.Mail = mail.Mail{
		ID: r.Mail.ID, Account: r.Mail.Account, To: r.Mail.To, Lang: r.Mail.Lang, Subject: r.Mail.Subject, Text: r.Mail.Text,
		HTML: r.Mail.HTML,
	}
	var err1, err2 error
	q.At, err1 = time.Parse(time.RFC3339Nano, r.Mail.At)
	q.Expires, err2 = time.Parse(time.RFC3339Nano, r.Mail.Expires)
	return q, errors.Join(err1, err2)
}

// ClaimMails returns mails that are due, and postpones them. It reads no others. A mail that is due later than any pause
// lasts was queued while the clock was ahead: it is due now.
func (s *Store) ClaimMails(now, until time.Time, n int) ([]mail.Queued, time.Time, error) {
	type claim struct {
		due  []mail.Queued
		next time.Time
	}
	c, err := boltfile.Update(s.file, func(tx *bbolt.Tx) (c claim, err error) {
		cur := tx.Bucket(bktMail).Cursor()
		ahead := mailKey(now.Add(mail.LongestWait), 0)
		for k, box := cur.First(); k != nil; k, box = cur.Next() {
			due := at(int64(boltfile.Number(k[:8])))
			if len(c.due) < n && due.After(now) && bytes.Compare(k, ahead) < 0 {
				c.next = due
				if k, box = cur.Seek(ahead); k == nil {
					break
				}
			}
			if len(c.due) == n {
				c.next = earliest(c.next, due, now)
				break
			}
			q, err := s.openMail(k, box)
			if err != nil {
				return claim{}, err
			}
			c.due = append(c.due, q)
		}
		for i := range c.due {
			q := &c.due[i]
			err = errors.Join(err, tx.Bucket(bktMail).Delete(mailKey(q.Due, q.Number)))
			q.Due = until.UTC().Truncate(time.Millisecond)
			err = errors.Join(err, s.putMail(tx, *q))
		}
		return c, err
	})
	return c.due, c.next, err
}

// earliest returns next, or when a mail that was not claimed is due, where next is zero or later.
func earliest(next, due, now time.Time) time.Time {
	if due.After(now.Add(mail.LongestWait)) {
		due = now
	}
	if next.IsZero() || due.Before(next) {
		return due
	}
	return next
}

// PostponeMail gives a claimed mail another due time, and stores its tries.
func (s *Store) PostponeMail(q mail.Queued, due time.Time) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		key := mailKey(q.Due, q.Number)
		if tx.Bucket(bktMail).Get(key) == nil {
			return nil // the claim has expired, and another sender has it
		}
		again := q
		again.Due = due
		return errors.Join(tx.Bucket(bktMail).Delete(key), s.putMail(tx, again))
	})
}

// DropMail deletes a claimed mail from the queue.
func (s *Store) DropMail(q mail.Queued, undelivered bool, now time.Time) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		key := mailKey(q.Due, q.Number)
		if tx.Bucket(bktMail).Get(key) == nil {
			return nil
		}
		var event account.Event
		if undelivered && q.Account != "" {
			event = account.Event{At: now, What: "mail given up", Detail: q.Subject}
		}
		return errors.Join(record(tx, q.Account, event), tx.Bucket(bktMail).Delete(key),
			tx.Bucket(bktService).Put(mailsKey, boltfile.Key(uint64(waiting(tx)-1))))
	})
}
