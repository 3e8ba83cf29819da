package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// mailFolder is the folder of a daemon without a mail server, as it was before a command. Only the daemon's user and
// root can read it: for others it is empty.
type mailFolder struct {
	dir    string
	before map[string]bool
}

// mailPatience is how long a command waits for a mail. The daemon writes it after the command was answered.
const mailPatience = 5 * time.Second

// watchMails remembers the mails that are there.
func watchMails(at accountService) mailFolder {
	m := mailFolder{dir: at.mails, before: map[string]bool{}}
	for _, path := range m.files() {
		m.before[path] = true
	}
	return m
}

func (m mailFolder) files() []string {
	if m.dir == "" {
		return nil
	}
	all, _ := filepath.Glob(filepath.Join(m.dir, "*.eml")) // the name of a folder may be no pattern: it has no mails then
	return all
}

// report waits for a new mail to an address, and prints its path. It prints nothing where there is a mail server.
func (m mailFolder) report(c *cobra.Command, email string) {
	if _, err := os.ReadDir(m.dir); m.dir == "" || os.IsPermission(err) {
		return
	}
	for end := time.Now().Add(mailPatience); time.Now().Before(end) && c.Context().Err() == nil; {
		for _, path := range m.files() {
			if !m.before[path] && mailTo(path, email) {
				fmt.Fprintln(c.OutOrStdout(), "The daemon has no mail server (--smtp), so the mail is a file:", path)
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// mailTo reports whether the file is a mail to an address.
func mailTo(path, email string) bool {
	raw, err := os.ReadFile(path)
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	return err == nil && strings.Contains(strings.ToLower(string(header)), "to: <"+strings.ToLower(email)+">")
}
