package language

// House has the texts of the pages of a house.
type House struct {
	Title, Skip, Nav                         string
	House, History, Account, SignIn, SignOut string // of the navigation
	Footer                                   string

	AllKept, NoneKept, Kept, Moved func(n int) string // sentences on a number of devices
	SomeNeed                       func(kept, need int) string
	MovedSoFar                     func(kept, need, all int) string
	StandsBy                       func(hub string, n int) string // another hub moves n devices
	More                           func(n int) string             // unbound devices that proved a password of the account
	NothingFound                   string
	NeedYou, KeptGroup, Others     string // headings
	Search, Find, NoMatch          string
	Password                       func(number int) string
	LastSeen, Protocol, Address    string
	Model, State, WhatToDo, Holds  string
	BindAll, Bind, Unbind, Rekey   string // buttons
	Allow, Forbid, RekeyAll        string
	AllowText                      string
	Done, NotFound, Unreadable     string
	Held                           string
	LinkDown                       string
	Ended, EndedText               string // the vendor's cloud refuses the hub's sign-in

	Question, Vendor, VendorText, Own, OwnText, OnThisHub, Register string // before the hub is signed in

	SignInText, Code, GoOn, WrongCode, SignInFirst                string
	AllStates                                                     string // of the search
	Probe, Forget, Rename, NameHere                               string // orders for a device
	Passwords, PasswordsTitle, LoginTitle, LoginText, LoginButton string // the page of the account's passwords
	IChangedIt, IChangedText, NewestPassword, ExposedAsk          string
	VendorChoice, OwnChoice, VendorCode                           string
	Earlier, EarlierText, EarlierField, EarlierButton             string
	EarlierDone                                                   func(added int) string
	LoginDone, ChangeElsewhere                                    string
	PagePassword, WithoutPassword, CodeText                       string // ways to sign in
	WrongPassword, TooManyGuesses                                 string
	Access, AccessText, ChoosePassword, NotNow, Save              string // the page of the password and the browsers
	PasswordLost, PasswordSet                                     string
	PasswordRule                                                  func(least int) string
	Browsers, EndBrowsers                                         string
	BrowsersText                                                  func(n int) string
}

// Sentence answers the one question of the first screen, from the number of devices in each group: those that need a
// person, those that are being moved, those on the newest password, and those that are not bound.
func (h House) Sentence(need, moving, kept, others int) string {
	switch bound := need + moving + kept; {
	case bound == 0 && others == 0:
		return h.NothingFound
	case bound == 0:
		return h.NoneKept(others)
	case moving > 0 && kept+need == 0:
		return h.Moved(moving)
	case moving > 0:
		return h.MovedSoFar(kept, need, bound)
	case need > 0:
		return h.SomeNeed(kept, need)
	}
	return h.AllKept(kept)
}
