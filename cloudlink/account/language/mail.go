package language

import "time"

// Mail has the texts of mails.
type Mail struct {
	Reset    func(door string, life time.Duration) Letter
	Activate func(life time.Duration) Letter
	Taken    func() Letter                                      // to the owner of an address that was registered again
	Changed  func(at time.Time, door string, reset bool) Letter // reset: after a forgotten password; else with the old one
	HubAdded func(at time.Time, hub string) Letter              // to the owner of an account that a hub has entered
	Code     func(page string) string                           // introduces the code that does the same as the link
	Footer   string
}

// Letter has the texts of one mail. A line of text is a paragraph.
type Letter struct {
	Subject string
	Before  []string // the link
	Link    string   // its effect, in a few words
	After   []string
}
