module gopair

go 1.21
