# frozen_string_literal: true

# Board games on a grid: a generic board, four in a row, and Conway's game of life.

module DemoGames
  # Raised for moves that the rules do not permit.
  class IllegalMove < StandardError; end

  # A rectangular grid of cells.
  class Board
    include Enumerable

    attr_reader :width, :height

    # Builds a board from rows of text, in which a dot stands for an empty cell.
    def self.parse(text)
      rows = text.lines(chomp: true)
      board = new(rows.first.length, rows.length)
      rows.each_with_index do |row, y|
        row.each_char.with_index { |char, x| board[x, y] = char unless char == "." }
      end
      board
    end

    # Creates a board whose cells are all empty.
    def initialize(width, height)
      @width = width
      @height = height
      @cells = Array.new(height) { Array.new(width) }
    end

    # Returns the content of a cell, or nil if it is empty or outside the board.
    def [](x, y)
      inside?(x, y) ? @cells[y][x] : nil
    end

    # Sets a cell and raises IndexError if it lies outside the board.
    def []=(x, y, value)
      raise IndexError, "(#{x}, #{y}) is outside the board" unless inside?(x, y)

      @cells[y][x] = value
    end

    # Checks whether the coordinates belong to the board.
    def inside?(x, y)
      x.between?(0, width - 1) && y.between?(0, height - 1)
    end

    # Yields both coordinates and the content of every cell, row by row.
    def each
      return enum_for(:each) { width * height } unless block_given?

      @cells.each_with_index { |row, y| row.each_with_index { |value, x| yield x, y, value } }
      self
    end

    # Returns the contents of the up to eight cells around a position.
    def neighbours(x, y)
      offsets = [-1, 0, 1].product([-1, 0, 1]) - [[0, 0]]
      offsets.filter_map { |dx, dy| self[x + dx, y + dy] }
    end

    # Tells whether no cell is empty.
    def full? = @cells.flatten.none?(&:nil?)

    # Looks for a straight line of equal marks and returns its mark, or nil if there is none.
    def line_of(length)
      each do |x, y, mark|
        next if mark.nil?

        [[1, 0], [0, 1], [1, 1], [1, -1]].each do |dx, dy|
          return mark if (1...length).all? { |step| self[x + (dx * step), y + (dy * step)] == mark }
        end
      end
      nil
    end

    # Draws the board with a dot for each empty cell.
    def to_s
      @cells.map { |row| row.map { |value| value || "." }.join }.join("\n")
    end
  end

  # The game in which marks fall down and four in a row win.
  class FourInARow
    attr_reader :board

    # Sets up an empty board for the two players.
    def initialize(players: %w[X O], width: 7, height: 6)
      @board = Board.new(width, height)
      @players = players.cycle
    end

    # Names the player whose turn it is.
    def current_player = @players.peek

    # Returns the player who has four in a row.
    def winner = board.line_of(4)

    # Checks whether somebody has won or no move is left.
    def over?
      !winner.nil? || board.full?
    end

    # Lists the columns that are not filled to the top.
    def open_columns
      (0...board.width).select { |column| board[column, 0].nil? }
    end

    # Drops a mark into a column and hands the turn to the other player.
    #
    # Raises IllegalMove if the game is over or the column is full.
    def drop(column)
      raise IllegalMove, "the game is over" if over?
      raise IllegalMove, "column #{column} is not open" unless open_columns.include?(column)

      row = (board.height - 1).downto(0).find { |y| board[column, y].nil? }
      board[column, row] = @players.next
      self
    end
  end

  # Cells that live and die according to the number of their neighbours.
  class Life
    attr_reader :board

    # Begins with the cells of the given board.
    def initialize(board)
      @board = board
    end

    # Replaces the board by the next generation.
    def step!
      following = Board.new(board.width, board.height)
      board.each do |x, y, cell|
        count = board.neighbours(x, y).size
        following[x, y] = "#" if count == 3 || (cell && count == 2)
      end
      @board = following
      self
    end

    # Counts the living cells.
    def population = board.count { |_, _, cell| cell }

    # Finds after how many generations a former state returns, or nil if none does within the limit.
    def period(limit = 50)
      seen = { board.to_s => 0 }
      game = self.class.new(board)
      (1..limit).each do |generation|
        state = game.step!.board.to_s
        return generation - seen[state] if seen.key?(state)

        seen[state] = generation
      end
      nil
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  board = DemoGames::Board.parse("X..\n.X.\nO.X")
  raise "line" unless board.line_of(3) == "X" && board.line_of(4).nil?
  raise "to_s" unless board.to_s == "X..\n.X.\nO.X" && !board.full?
  raise "neighbours" unless board.neighbours(0, 1).sort == %w[O X X]
  raise "outside" unless board[9, 9].nil? && board.each.size == 9
  begin
    board[3, 0] = "X"
    raise "no error"
  rescue IndexError => e
    raise "text" unless e.message == "(3, 0) is outside the board"
  end
  game = DemoGames::FourInARow.new
  [0, 1, 0, 1, 0, 1].each { |column| game.drop(column) }
  raise "turn" unless game.current_player == "X" && !game.over?
  game.drop(0)
  raise "winner" unless game.winner == "X" && game.over?
  begin
    game.drop(2)
    raise "no error"
  rescue DemoGames::IllegalMove => e
    raise "text" unless e.message == "the game is over"
  end
  blinker = DemoGames::Life.new(DemoGames::Board.parse(".....\n..#..\n..#..\n..#..\n....."))
  raise "period" unless blinker.period == 2 && blinker.population == 3
  raise "step" unless blinker.step!.board.to_s.lines[2] == ".###.\n"
end
