"""The commands; lib/ has the packages behind them, bench/ measures, build/ builds Caffe."""
