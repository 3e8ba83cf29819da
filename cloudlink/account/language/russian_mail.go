package language

func russianMail() Mail { return Mail{} }
