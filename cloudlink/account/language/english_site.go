package language

// Site is what pages say.
type Site struct{}

func englishSite() Site { return Site{} }
