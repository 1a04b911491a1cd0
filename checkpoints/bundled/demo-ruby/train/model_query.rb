# frozen_string_literal: true

# Query objects: one that writes SQL text and one that filters rows in memory.

module DemoQuery
  # Builds the text of a SELECT statement step by step; each step returns a new query.
  class Select
    attr_reader :bindings

    # Begins a query on a table.
    def initialize(table)
      @table = table
      @columns = ["*"]
      @conditions = []
      @bindings = []
      @joins = []
      @orders = []
    end

    # Limits the result to the given columns.
    def select(*columns) = change { @columns = columns }

    # Adds conditions that must all be met.
    #
    # A hash compares columns with values: arrays become IN, ranges become BETWEEN and nil
    # becomes IS NULL. A string is used as it is, with question marks for the other arguments.
    def where(condition, *values)
      change do
        if condition.is_a?(Hash)
          condition.each { |column, value| add_pair(column, value) }
        else
          @conditions << "(#{condition})"
          @bindings.concat(values)
        end
      end
    end

    # Joins another table on the given pair of columns.
    def join(table, on:)
      change { @joins << "JOIN #{table} ON #{on.keys.first} = #{on.values.first}" }
    end

    # Sorts by one or more columns; a leading hyphen stands for descending order.
    def order(*columns)
      change do
        @orders += columns.map do |column|
          name = column.to_s
          name.start_with?("-") ? "#{name[1..]} DESC" : "#{name} ASC"
        end
      end
    end

    # Restricts the number of rows and optionally skips some at the beginning.
    def limit(count, offset: nil)
      change do
        @limit = Integer(count)
        @offset = offset && Integer(offset)
      end
    end

    # Selects one page of the result, with pages counted from one.
    def page(number, per: 20)
      limit(per, offset: (number - 1) * per)
    end

    # Assembles the clauses of the statement in the order SQL demands.
    def to_sql
      parts = ["SELECT #{@columns.join(', ')} FROM #{@table}", *@joins]
      parts << "WHERE #{@conditions.join(' AND ')}" if @conditions.any?
      parts << "ORDER BY #{@orders.join(', ')}" if @orders.any?
      parts << "LIMIT #{@limit}" if @limit
      parts << "OFFSET #{@offset}" if @offset
      parts.join(" ")
    end

    private

    # Gives copies their own lists, so that a change does not reach the original query.
    def initialize_copy(source)
      super
      %i[@columns @conditions @bindings @joins @orders].each do |name|
        instance_variable_set(name, instance_variable_get(name).dup)
      end
    end

    # Evaluates the block inside a copy of the query and returns the copy.
    def change(&block)
      dup.tap { |copy| copy.instance_eval(&block) }
    end

    # Translates one column and its value into a condition with placeholders.
    def add_pair(column, value)
      case value
      when nil then @conditions << "#{column} IS NULL"
      when Range
        @conditions << "#{column} BETWEEN ? AND ?"
        @bindings.push(value.first, value.last)
      when Array
        @conditions << "#{column} IN (#{(['?'] * value.size).join(', ')})"
        @bindings.concat(value)
      else
        @conditions << "#{column} = ?"
        @bindings << value
      end
    end
  end

  # A lazy chain of filters over an array of hashes.
  class Relation
    include Enumerable

    # Wraps the rows together with the steps to apply to them.
    def initialize(rows, steps = [])
      @rows = rows
      @steps = steps
    end

    # Keeps the rows whose columns match the given values, compared with the case operator.
    def where(**conditions)
      add { |rows| rows.select { |row| conditions.all? { |column, wanted| matches?(wanted, row[column]) } } }
    end

    # Drops the rows that match all of the given values.
    def except(**conditions)
      add { |rows| rows.reject { |row| conditions.all? { |column, wanted| matches?(wanted, row[column]) } } }
    end

    # Sorts the rows by a column and puts rows without a value last.
    def order_by(column, descending: false)
      add do |rows|
        present, blank = rows.partition { |row| row[column] }
        sorted = present.sort_by { |row| row[column] }
        (descending ? sorted.reverse : sorted) + blank
      end
    end

    # Yields the remaining rows; the filters are applied only now.
    def each(&block)
      return enum_for(:each) unless block

      @steps.reduce(@rows) { |rows, step| step.call(rows) }.each(&block)
      self
    end

    # Extracts the values of one column, or arrays of values for several columns.
    def pluck(*columns)
      map { |row| columns.one? ? row[columns.first] : row.values_at(*columns) }
    end

    # Counts the rows for each value of a column.
    def count_by(column) = map { |row| row[column] }.tally

    # Checks whether any row passes all filters.
    def exists? = any?

    private

    # Returns a relation with one more step.
    def add(&step)
      self.class.new(@rows, @steps + [step])
    end

    # Compares a wanted value with a stored one; an array matches any of its elements.
    def matches?(wanted, actual)
      wanted.is_a?(Array) ? wanted.include?(actual) : wanted === actual
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  base = DemoQuery::Select.new(:books).where({ genre: %w[art law], price: 5..9, sold: nil })
  query = base.select(:title).join(:authors, on: { "authors.id" => "books.author_id" })
              .where("pages > ?", 100).order(:title, "-price").page(3, per: 10)
  expected = "SELECT title FROM books JOIN authors ON authors.id = books.author_id " \
             "WHERE genre IN (?, ?) AND price BETWEEN ? AND ? AND sold IS NULL AND (pages > ?) " \
             "ORDER BY title ASC, price DESC LIMIT 10 OFFSET 20"
  raise "sql: #{query.to_sql}" unless query.to_sql == expected
  raise "bindings" unless query.bindings == ["art", "law", 5, 9, 100]
  raise "immutable" unless base.to_sql.start_with?("SELECT * FROM books WHERE") && base.bindings.size == 4
  rows = [{ id: 1, kind: "cat", age: 3 }, { id: 2, kind: "dog", age: nil }, { id: 3, kind: "cat", age: 9 }]
  pets = DemoQuery::Relation.new(rows)
  raise "where" unless pets.where(kind: "cat", age: 2..5).pluck(:id) == [1]
  raise "except" unless pets.except(kind: %w[dog bird]).pluck(:id) == [1, 3]
  raise "order" unless pets.order_by(:age, descending: true).pluck(:id, :kind) == [[3, "cat"], [1, "cat"], [2, "dog"]]
  raise "count" unless pets.count_by(:kind) == { "cat" => 2, "dog" => 1 }
  raise "exists" if pets.where(kind: /fish/).exists?
  single = base.where({ shelf: 4 })
  raise "equal" unless single.to_sql.end_with?("AND shelf = ?") && single.bindings.last == 4
end
