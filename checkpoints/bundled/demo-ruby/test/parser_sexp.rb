# frozen_string_literal: true

# S-expressions and a tiny Lisp that evaluates them.

module DemoLisp
  # Raised for text with unbalanced parentheses.
  class ReadError < StandardError; end

  # Raised when an expression cannot be evaluated.
  class EvalError < StandardError; end

  # Turns text into nested arrays of symbols, numbers and strings.
  class Reader
    # Breaks the text into parentheses, quotes, strings and atoms.
    def initialize(text)
      @tokens = text.gsub(/;.*$/, "").scan(/[()']|"(?:[^"\\]|\\.)*"|[^\s()']+/)
    end

    # Reads every expression of the text.
    def read_all
      expressions = []
      expressions << read until @tokens.empty?
      expressions
    end

    # Reads the next expression and raises ReadError if it is incomplete.
    def read
      token = @tokens.shift
      case token
      when nil then raise ReadError, "the text ends inside a list"
      when "(" then read_list
      when ")" then raise ReadError, "there is a closing parenthesis too many"
      when "'" then [:quote, read]
      else atom(token)
      end
    end

    private

    # Reads elements up to the closing parenthesis.
    def read_list
      items = []
      items << read until @tokens.first == ")"
      @tokens.shift
      items
    end

    # Interprets a token as a string, an integer, a float or a symbol, whichever fits first.
    def atom(token)
      return token[1..-2].gsub(/\\(.)/, '\1') if token.start_with?('"')

      Integer(token, exception: false) || Float(token, exception: false) || token.to_sym
    end
  end

  # Writes nested arrays back as text.
  def self.write(expression)
    case expression
    when Array then "(#{expression.map { |item| write(item) }.join(' ')})"
    when String then "\"#{expression.gsub(/["\\]/) { |char| "\\#{char}" }}\""
    when true then "#t"
    when false, nil then "#f"
    else expression.to_s
    end
  end

  # Names and their values, with a link to the surrounding scope.
  class Scope
    # Creates a scope from names and values inside an optional outer scope.
    def initialize(values = {}, outer = nil)
      @values = values
      @outer = outer
    end

    # Finds the innermost value of a name or raises EvalError.
    def lookup(name)
      return @values[name] if @values.key?(name)
      raise EvalError, "#{name} has no meaning here" unless @outer

      @outer.lookup(name)
    end

    # Binds a name in this scope, hiding outer values of the same name.
    def define(name, value)
      @values[name] = value
    end
  end

  # Evaluates expressions.
  class Interpreter
    BUILTINS = {
      :+ => ->(*args) { args.sum }, :* => ->(*args) { args.reduce(1, :*) },
      :- => ->(first, *rest) { rest.empty? ? -first : rest.reduce(first, :-) },
      :< => ->(a, b) { a < b }, :"=" => ->(a, b) { a == b },
      :list => ->(*args) { args }, :first => ->(list) { list.first }, :rest => ->(list) { list.drop(1) },
      :"empty?" => ->(list) { list.empty? }, :cons => ->(item, list) { [item, *list] }
    }.freeze

    # Prepares a global scope that holds the built-in functions.
    def initialize
      @global = Scope.new({ :"#t" => true, :"#f" => false }, Scope.new(BUILTINS))
    end

    # Evaluates all expressions of a text and returns the value of the last one.
    def run(text)
      Reader.new(text).read_all.reduce(nil) { |_, expression| evaluate(expression, @global) }
    end

    # Evaluates one expression in the given scope.
    def evaluate(expression, scope)
      case expression
      in Symbol then scope.lookup(expression)
      in [:quote, value] then value
      in [:if, test, yes, no] then evaluate(evaluate(test, scope) ? yes : no, scope)
      in [:define, Symbol => name, value] then scope.define(name, evaluate(value, scope))
      in [:lambda, Array => names, body] then function(names, body, scope)
      in [:let, Array => pairs, body] then evaluate(body, let_scope(pairs, scope))
      in [callee, *arguments] then apply(evaluate(callee, scope), arguments.map { |item| evaluate(item, scope) })
      else expression
      end
    end

    private

    # Builds a function that evaluates its body in a new scope inside the one where it was defined.
    def function(names, body, scope)
      lambda do |*values|
        unless values.size == names.size
          raise EvalError, "expected #{names.size} arguments, got #{values.size}"
        end

        evaluate(body, Scope.new(names.zip(values).to_h, scope))
      end
    end

    # Creates the scope of a let expression; its values are computed in the outer scope.
    def let_scope(pairs, scope)
      Scope.new(pairs.to_h { |name, value| [name, evaluate(value, scope)] }, scope)
    end

    # Calls a function and raises EvalError for anything that cannot be called.
    def apply(callee, arguments)
      raise EvalError, "#{DemoLisp.write(callee)} is not a function" unless callee.respond_to?(:call)

      callee.call(*arguments)
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  tree = DemoLisp::Reader.new("(a (b 2.5) 'c \"d \\\"e\\\"\") ; rest").read
  raise "read" unless tree == [:a, [:b, 2.5], %i[quote c], 'd "e"']
  raise "write" unless DemoLisp.write([:a, true, [1, "x\""], nil]) == '(a #t (1 "x\"") #f)'
  lisp = DemoLisp::Interpreter.new
  raise "arithmetic" unless lisp.run("(+ 1 (* 2 3) (- 4))") == 3
  lisp.run("(define fact (lambda (n) (if (< n 2) 1 (* n (fact (- n 1))))))")
  raise "recursion" unless lisp.run("(fact 20)") == 2_432_902_008_176_640_000
  raise "let" unless lisp.run("(define x 1) (let ((x 2) (y x)) (list x y))") == [2, 1]
  raise "closure" unless lisp.run("(define add (lambda (a) (lambda (b) (+ a b)))) ((add 3) 4)") == 7
  raise "quote" unless lisp.run("(cons 0 (rest '(1 2 3)))") == [0, 2, 3]
  { "(fact 1 2)" => "expected 1 arguments, got 2", "(1 2)" => "1 is not a function",
    "(foo)" => "foo has no meaning here" }.each do |text, message|
    lisp.run(text)
    raise "no error"
  rescue DemoLisp::EvalError => e
    raise "text: #{e.message}" unless e.message == message
  end
  ["(a (b)", ")"].each do |text|
    DemoLisp::Reader.new(text).read
    raise "no error"
  rescue DemoLisp::ReadError => e
    raise "empty" if e.message.empty?
  end
end
